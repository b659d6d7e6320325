//! The driver API on top of the simulator.
