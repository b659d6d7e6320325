//! What callers pass by reference.
//!
//! Each of these types is a pointer that came through the driver API. Its contract, that the caller keeps alive what a pointer names for
//! as long as the function says, is what all `unsafe` here relies on; Rust callers take it over with the constructors.

use std::ffi::{CStr, c_char, c_void};

use x0_cuda_simulator::Parameter;

use crate::status::Error;

/// Where an answer is written to.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `place` is null, or can be written during the call that it is passed to.
    pub unsafe fn new(place: *mut T) -> Self {
        Self(place)
    }

    pub(crate) fn set(self, value: T) -> Result<(), Error> {
        if self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        // SAFETY: not null, so the caller has room for the answer there.
        unsafe { self.0.write(value) };
        Ok(())
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.is_null()
    }

    /// For answers that may be left out.
    pub(crate) fn set_if_wanted(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: not null, so the caller has room for the answer there.
            unsafe { self.0.write(value) };
        }
    }
}

impl Out<c_void> {
    /// The place is wide enough for a `T`, says another argument of the call.
    pub(crate) fn of<T>(&self) -> Out<T> {
        Out(self.0.cast())
    }
}

impl Out<c_char> {
    /// Writes as much of `text` as there is room for, and the null byte.
    pub(crate) fn set_text(self, text: &str, room: usize) -> Result<(), Error> {
        if self.0.is_null() || room == 0 {
            return Err(Error::InvalidValue);
        }
        let length = text.len().min(room - 1);
        // SAFETY: not null, so the caller has room for `room` bytes there; no more than that are written.
        unsafe {
            self.0.copy_from_nonoverlapping(text.as_ptr().cast(), length);
            self.0.add(length).write(0);
        }
        Ok(())
    }
}

/// Where an argument lies.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct In<T>(*const T);

impl<T> In<T> {
    /// # Safety
    ///
    /// `place` is null, or holds a `T` during the call that it is passed to.
    pub unsafe fn new(place: *const T) -> Self {
        Self(place)
    }
}

impl<T: Copy> In<T> {
    pub(crate) fn get(self) -> Result<T, Error> {
        if self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        // SAFETY: not null, so the caller's argument lies there.
        Ok(unsafe { self.0.read() })
    }
}

impl In<c_void> {
    /// A `T` lies there, says another argument of the call.
    pub(crate) fn of<T>(&self) -> In<T> {
        In(self.0.cast())
    }
}

/// A text that ends with a null byte.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Text(*const c_char);

impl Text {
    pub fn new(text: &'static CStr) -> Self {
        Self(text.as_ptr())
    }

    /// # Safety
    ///
    /// `text` is null, or a text that ends with a null byte and lies there during the call that it is passed to.
    pub unsafe fn from_pointer(text: *const c_char) -> Self {
        Self(text)
    }

    /// Only to be used before the call returns.
    pub(crate) fn bytes(&self) -> Result<&[u8], Error> {
        if self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        // SAFETY: not null, so the caller's text lies there.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_bytes())
    }

    pub(crate) fn string(&self) -> Result<&str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::InvalidValue)
    }
}

/// Host memory that is copied to the device.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct HostSource(*const u8);

// SAFETY: only carried around; whoever passed it promised that the bytes can be read when the copy is made, by any thread.
unsafe impl Send for HostSource {}
// SAFETY: see `Send`.
unsafe impl Sync for HostSource {}

impl HostSource {
    /// # Safety
    ///
    /// The bytes that a copy reads can be read when it is made: during the call, or, in a graph, during each launch.
    pub unsafe fn new(bytes: *const u8) -> Self {
        Self(bytes)
    }

    /// Only to be used before the call returns.
    pub(crate) fn bytes(&self, length: usize) -> Result<&[u8], Error> {
        if length == 0 {
            return Ok(&[]);
        }
        if self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        // SAFETY: not null, so the caller's bytes lie there.
        Ok(unsafe { std::slice::from_raw_parts(self.0, length) })
    }
}

/// Host memory that is copied to from the device.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct HostTarget(*mut u8);

// SAFETY: only carried around; whoever passed it promised that the bytes can be written when the copy is made, by any thread.
unsafe impl Send for HostTarget {}
// SAFETY: see `Send`.
unsafe impl Sync for HostTarget {}

impl HostTarget {
    /// # Safety
    ///
    /// The bytes that a copy writes can be written when it is made: during the call, or, in a graph, during each launch.
    pub unsafe fn new(bytes: *mut u8) -> Self {
        Self(bytes)
    }

    pub(crate) fn write(self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        // SAFETY: not null, so the caller has room for the bytes there; `bytes` is memory of ours.
        unsafe { self.0.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }
}

/// `kernelParams`: pointers to the values of a kernel's parameters.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Arguments(*const *const u8);

impl Arguments {
    /// # Safety
    ///
    /// `pointers` has, for each parameter of the kernel that it is passed with, a pointer to a value of its size.
    pub unsafe fn new(pointers: *const *const u8) -> Self {
        Self(pointers)
    }

    /// Puts each value where the kernel expects it.
    pub(crate) fn gather(self, parameters: &[Parameter]) -> Result<Vec<u8>, Error> {
        let end = parameters.iter().map(|parameter| parameter.offset + parameter.bytes).max().unwrap_or(0);
        if end > 0 && self.0.is_null() {
            return Err(Error::InvalidValue);
        }
        let mut values = vec![0; end];
        for (index, parameter) in parameters.iter().enumerate() {
            // SAFETY: not null, so the caller passed a pointer for each of the kernel's parameters.
            let value = unsafe { self.0.add(index).read() };
            if value.is_null() {
                return Err(Error::InvalidValue);
            }
            // SAFETY: not null, so a value of the parameter's size lies there.
            let value = unsafe { std::slice::from_raw_parts(value, parameter.bytes) };
            values[parameter.offset..][..parameter.bytes].copy_from_slice(value);
        }
        Ok(values)
    }
}
