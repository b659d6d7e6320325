//! Compiles the kernels to PTX: with the feature `ptx`, by the nvcc that `NVCC`, `CUDA_HOME` or the path names.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Architectures that a module is compiled for: the oldest that is served, which the driver translates for all later ones, and Hopper. PTX
/// with Hopper's own instructions runs there alone.
fn architectures(module: &str) -> &'static [&'static str] {
    if module == "conv2d_warpgroup" { &["90a"] } else { &["80", "90"] }
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_PTX").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed=NVCC");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for entry in Path::new(".").read_dir().expect("a package's folder can be read") {
        let path = entry.expect("a package's folder can be read").path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("cu") => compile(&path, &out),
            Some("cuh") => {}
            _ => continue,
        }
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn compile(source: &Path, out: &Path) {
    let name = source.file_stem().expect("a source has a name").to_string_lossy();
    let nvcc = nvcc();
    for architecture in architectures(&name) {
        let status = Command::new(&nvcc)
            .args(["--ptx", "-std=c++17", "-O3", "--Werror", "all-warnings"])
            .arg(format!("-arch=compute_{architecture}"))
            .arg("-o")
            .arg(out.join(format!("{name}.{architecture}.ptx")))
            .arg(source)
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("{} of {}: {status}", nvcc.display(), source.display()),
            Err(error) => {
                panic!("{} cannot be started: {error}. kernels/cuda/toolkit says how to get it", nvcc.display())
            }
        }
    }
}

fn nvcc() -> PathBuf {
    let of_toolkit = || env::var_os("CUDA_HOME").map(|home| Path::new(&home).join("bin/nvcc"));
    env::var_os("NVCC").map(PathBuf::from).or_else(of_toolkit).unwrap_or_else(|| "nvcc".into())
}
