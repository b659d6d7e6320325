#include "activation.cuh"
