//! Modules: PTX that was read.

use std::collections::HashMap;
use std::ffi::c_void;
use std::{fs, str};

use x0_cuda_simulator::Address;

use crate::context::{Context, with_context};
use crate::function::Function;
use crate::handle::Handle;
use crate::pointer::{Out, Text};
use crate::settings::Settings;
use crate::status::{Error, Status};

#[derive(Debug)]
pub(crate) struct Module {
    simulated: x0_cuda_simulator::Module,
    /// The handles of the functions that were asked for, by their names: programs ask before every launch.
    functions: HashMap<String, Handle>,
}

/// The image has to be PTX that ends with a null byte.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadData(module: Out<Handle>, image: Text) -> Status {
    with_context(|context| module.set(load(context, image.bytes()?)?))
}

/// The options are about a compiler that is not here.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadDataEx(
    module: Out<Handle>,
    image: Text,
    _option_count: u32,
    _options: Out<c_void>,
    _values: Out<c_void>,
) -> Status {
    cuModuleLoadData(module, image)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoad(module: Out<Handle>, path: Text) -> Status {
    with_context(|context| {
        let image = fs::read(path.string()?).map_err(|_| Error::FileNotFound)?;
        module.set(load(context, &image)?)
    })
}

fn load(context: &mut Context, image: &[u8]) -> Result<Handle, Error> {
    context.captures.forbid_unsafe()?;
    let ptx = str::from_utf8(image).map_err(|_| Error::InvalidImage)?;
    check_target(ptx, Settings::get()?.capability)?;
    let simulated = x0_cuda_simulator::Module::parse(ptx, context.memory.simulated_mut()).map_err(|error| {
        eprintln!("CUDA simulator: PTX cannot be read: {error}");
        Error::InvalidPtx
    })?;
    Ok(context.modules.insert(Module { simulated, functions: HashMap::new() }))
}

/// PTX runs on devices of its capability and later ones; that of an architecture's own features, with an `a`, on none but that one.
fn check_target(ptx: &str, (major, minor): (i32, i32)) -> Result<(), Error> {
    let directive =
        ptx.lines().find_map(|line| line.trim_start().strip_prefix(".target")).ok_or(Error::InvalidImage)?;
    let target = directive.split(',').next().unwrap_or_default().trim();
    let number = target.strip_prefix("sm_").ok_or(Error::InvalidPtx)?;
    let wanted = number.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let is_specific = wanted.len() < number.len();
    let wanted = wanted.parse::<i32>().map_err(|_| Error::InvalidPtx)?;
    let capability = major * 10 + minor;
    if wanted == capability || wanted < capability && !is_specific {
        return Ok(());
    }
    eprintln!("CUDA simulator: PTX for {target} on a device of capability {major}.{minor}");
    Err(Error::InvalidPtx)
}

/// Its functions are gone, too; what was captured keeps them. The memory of its variables is kept until the context ends.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(module: Handle) -> Status {
    with_context(|context| {
        context.captures.forbid_unsafe()?;
        let module = context.modules.remove(module)?;
        for function in module.functions.into_values() {
            context.functions.remove(function)?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetFunction(function: Out<Handle>, module: Handle, name: Text) -> Status {
    with_context(|context| {
        let name = name.string()?;
        let module = context.modules.get_mut(module)?;
        if let Some(&known) = module.functions.get(name) {
            return function.set(known);
        }
        let found = module.simulated.function(name).ok_or(Error::NotFound)?;
        let handle = context.functions.insert(Function::new(found, name));
        module.functions.insert(name.to_owned(), handle);
        function.set(handle)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetGlobal_v2(address: Out<Address>, bytes: Out<usize>, module: Handle, name: Text) -> Status {
    with_context(|context| {
        let module = context.modules.get(module)?;
        let (start, length) = module.simulated.global(name.string()?).ok_or(Error::NotFound)?;
        address.set_if_wanted(start);
        bytes.set_if_wanted(length);
        Ok(())
    })
}

/// `CU_MODULE_EAGER_LOADING`
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetLoadingMode(mode: Out<u32>) -> Status {
    mode.set(1).into()
}
