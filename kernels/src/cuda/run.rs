//! Carries plans out on a device.

use candle_core::cuda_backend::cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg, sys};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Result, Shape, Storage, Tensor, bail};
use half::{bf16, f16};
use x0_cuda::{Architecture, Argument, Element, Launch, Plan};

/// Kernels read so many bytes at once: a tensor begins at a multiple of them.
const ALIGNMENT: usize = 16;

/// Shared memory that every kernel may use without asking for more.
const USUAL_SHARED_BYTES: u32 = 48 * 1024;

/// The device of a tensor that is known to lie on one.
pub(super) fn device(tensor: &Tensor) -> Result<CudaDevice> {
    Ok(tensor.device().as_cuda_device()?.clone())
}

/// Which kernels a device takes.
pub(super) fn architecture(device: &CudaDevice) -> Result<Architecture> {
    let (major, minor) = device.cuda_stream().context().compute_capability().w()?;
    match Architecture::for_capability(major, minor) {
        Some(architecture) => Ok(architecture),
        None => bail!("there are no kernels for compute capability {major}.{minor}"),
    }
}

/// The type of a tensor's elements, which must be one that kernels compute with.
pub(super) fn element(tensor: &Tensor) -> Result<Element> {
    element_of(tensor.dtype())
}

/// The same of a type.
pub(super) fn element_of(dtype: DType) -> Result<Element> {
    Ok(match dtype {
        DType::F32 => Element::F32,
        DType::F16 => Element::F16,
        DType::BF16 => Element::Bf16,
        other => bail!("a CUDA kernel was given {other:?}"),
    })
}

/// A tensor of nothing in particular, to be written by a plan.
pub(super) fn empty(device: &CudaDevice, dtype: DType, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let len = shape.elem_count();
    // SAFETY: who asks for it has a plan write every element before anything reads one.
    let storage = unsafe {
        match dtype {
            DType::F32 => CudaStorage::wrap_cuda_slice(device.alloc::<f32>(len)?, device.clone()),
            DType::F16 => CudaStorage::wrap_cuda_slice(device.alloc::<f16>(len)?, device.clone()),
            DType::BF16 => CudaStorage::wrap_cuda_slice(device.alloc::<bf16>(len)?, device.clone()),
            DType::U8 => CudaStorage::wrap_cuda_slice(device.alloc::<u8>(len)?, device.clone()),
            DType::U32 => CudaStorage::wrap_cuda_slice(device.alloc::<u32>(len)?, device.clone()),
            other => bail!("kernels write no {other:?}"),
        }
    };
    Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
}

/// Runs a plan. `tensors` are the operation's inputs and outputs in the plan's order, all contiguous and on one device.
pub(super) fn run(plan: &Plan, tensors: &[&Tensor]) -> Result<()> {
    let Some(device) = tensors.first().map(|tensor| device(tensor)).transpose()? else { return Ok(()) };
    let workspaces =
        plan.workspaces.iter().map(|bytes| empty(&device, DType::U8, *bytes)).collect::<Result<Vec<_>>>()?;
    let tensors = tensors.iter().map(|tensor| aligned(tensor)).collect::<Result<Vec<_>>>()?;
    let addresses =
        tensors.iter().chain(&workspaces).map(|tensor| address(tensor, &device)).collect::<Result<Vec<_>>>()?;
    let architecture = architecture(&device)?;
    plan.launches.iter().try_for_each(|launch| start(launch, &addresses, &device, architecture))
}

/// The tensor, or a copy of it where it is a part of another that begins at an odd place. Outputs are no such parts.
fn aligned(tensor: &Tensor) -> Result<Tensor> {
    let begin = tensor.layout().start_offset() * tensor.dtype().size_in_bytes();
    if begin.is_multiple_of(ALIGNMENT) { Ok(tensor.clone()) } else { tensor.force_contiguous() }
}

/// Where a tensor begins in the device's memory.
fn address(tensor: &Tensor, device: &CudaDevice) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cuda(storage), Some((start, _))) = (&*storage, layout.contiguous_offsets()) else {
        bail!("a CUDA kernel was given a tensor that is not contiguous or not on a CUDA device")
    };
    if storage.device.id() != device.id() {
        bail!("a CUDA kernel was given tensors of different devices")
    }
    let stream = device.cuda_stream();
    let begin = match &storage.slice {
        CudaStorageSlice::F32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F16(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::BF16(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::U8(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::U32(slice) => slice.device_ptr(&stream).0,
        _ => bail!("a CUDA kernel was given {:?}", tensor.dtype()),
    };
    Ok(begin + (start * tensor.dtype().size_in_bytes()) as u64)
}

fn start(launch: &Launch, addresses: &[u64], device: &CudaDevice, architecture: Architecture) -> Result<()> {
    let function =
        device.get_or_load_custom_func(launch.kernel, launch.module.name(), launch.module.ptx(architecture))?;
    if launch.shared_bytes > USUAL_SHARED_BYTES {
        let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function.set_attribute(attribute, launch.shared_bytes as i32).w()?;
    }
    let pointers: Vec<u64> = launch
        .arguments
        .iter()
        .map(|argument| match argument {
            Argument::Tensor(index) => addresses[*index],
            Argument::Null | Argument::U32(_) | Argument::F32(_) | Argument::F64(_) => 0,
        })
        .collect();
    let mut builder = function.builder();
    for (argument, pointer) in launch.arguments.iter().zip(&pointers) {
        match argument {
            Argument::Tensor(_) | Argument::Null => builder.arg(pointer),
            Argument::U32(value) => builder.arg(value),
            Argument::F32(value) => builder.arg(value),
            Argument::F64(value) => builder.arg(value),
        };
    }
    let ([x, y, z], [bx, by, bz]) = (launch.grid, launch.block);
    let config = LaunchConfig { grid_dim: (x, y, z), block_dim: (bx, by, bz), shared_mem_bytes: launch.shared_bytes };
    // SAFETY: the plan passes what the kernel declares and names only tensors that it was made for; the tests run every plan on a
    // simulator that checks each access.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}
