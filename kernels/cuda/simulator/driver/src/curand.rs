//! As much of cuRAND as a program needs that only makes a generator, as candle does with each device.

use crate::handle::Handle;
use crate::pointer::Out;
use crate::unsupported::unsupported;

/// `CURAND_STATUS_SUCCESS`
const SUCCESS: i32 = 0;
/// `CURAND_STATUS_LAUNCH_FAILURE`
const LAUNCH_FAILURE: i32 = 201;
/// `CURAND_STATUS_INITIALIZATION_FAILED`
const INITIALIZATION_FAILED: i32 = 203;

#[unsafe(no_mangle)]
pub extern "C" fn curandCreateGenerator(generator: Out<Handle>, _kind: u32) -> i32 {
    generator.set(Handle::unique()).map_or(INITIALIZATION_FAILED, |()| SUCCESS)
}

#[unsafe(no_mangle)]
pub extern "C" fn curandDestroyGenerator(_generator: Handle) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn curandSetStream(_generator: Handle, _stream: Handle) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn curandSetPseudoRandomGeneratorSeed(_generator: Handle, _seed: u64) -> i32 {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn curandSetGeneratorOffset(_generator: Handle, _offset: u64) -> i32 {
    SUCCESS
}

unsupported! {
    LAUNCH_FAILURE, i32,
    curandGenerate curandGenerateLogNormal curandGenerateLogNormalDouble curandGenerateLongLong curandGenerateNormal
    curandGenerateNormalDouble curandGeneratePoisson curandGenerateUniform curandGenerateUniformDouble
}
