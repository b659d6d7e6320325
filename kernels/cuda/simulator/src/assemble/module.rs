//! What a module's functions can name.

use crate::fault::ParseError;
use crate::memory::{Address, Memory};
use crate::syntax::{Declaration, Function, Initial, Number, Space, Variable};
use std::collections::HashMap;

/// Functions and variables of a module.
#[derive(Debug, Default)]
pub(crate) struct Names<'t> {
    pub(crate) functions: HashMap<&'t str, &'t Function<'t>>,
    pub(crate) shared: HashMap<&'t str, &'t Variable<'t>>,
    /// Global and constant variables: where they lie, and their bytes.
    pub(crate) globals: HashMap<&'t str, (Address, usize)>,
}

impl<'t> Names<'t> {
    /// Takes memory for global and constant variables and fills it.
    pub(crate) fn new(declarations: &'t [Declaration<'t>], memory: &mut Memory) -> Result<Self, ParseError> {
        let mut names = Self::default();
        let mut initialised = Vec::new();
        for declaration in declarations {
            match declaration {
                Declaration::Function(function) => {
                    // A function may be declared before it is defined.
                    if function.body.is_some() || !names.functions.contains_key(function.name) {
                        names.functions.insert(function.name, function);
                    }
                }
                Declaration::Variable(variable) => match variable.space {
                    Space::Shared => {
                        names.shared.insert(variable.name, variable);
                    }
                    Space::Global | Space::Const => {
                        names.globals.insert(variable.name, (memory.allocate(variable.bytes), variable.bytes));
                        initialised.push(variable);
                    }
                    Space::Local | Space::Parameter | Space::Generic => {
                        let message = format!("`{}` can only be declared in a function", variable.name);
                        return Err(ParseError { line: variable.line, message });
                    }
                },
            }
        }
        // Only now, because variables may hold addresses of later ones.
        for variable in initialised {
            let bytes = names.initial_bytes(variable)?;
            let (address, _) = names.globals[variable.name];
            assert!(memory.write(address, &bytes), "the variable was just allocated");
        }
        Ok(names)
    }

    fn initial_bytes(&self, variable: &Variable<'_>) -> Result<Vec<u8>, ParseError> {
        let error = |message| ParseError { line: variable.line, message };
        let size = variable.element_bytes;
        let mut bytes = Vec::with_capacity(variable.bytes);
        for initial in &variable.initial {
            let value = match initial {
                Initial::Number(Number::Integer(value)) => *value,
                Initial::Number(Number::Single(bits)) => u64::from(*bits),
                Initial::Number(Number::Double(bits)) if size == 4 => {
                    u64::from((f64::from_bits(*bits) as f32).to_bits())
                }
                Initial::Number(Number::Double(bits)) => *bits,
                Initial::Address { name, offset } => {
                    let (address, _) =
                        self.globals.get(name).ok_or_else(|| error(format!("there is no variable `{name}`")))?;
                    address.wrapping_add(*offset)
                }
            };
            let mut element = [0; 16];
            element[..8].copy_from_slice(&value.to_le_bytes());
            bytes.extend_from_slice(&element[..size]);
        }
        bytes.resize(variable.bytes, 0);
        Ok(bytes)
    }
}
