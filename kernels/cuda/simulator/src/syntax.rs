//! PTX as it is written: what a module declares, and the statements of its functions.

mod declaration;
mod statement;
mod token;

pub(crate) use declaration::{Declaration, Function, Initial, Space, Variable, declarations};
pub(crate) use statement::{Instruction, Operand, RegisterKind, Statement};
pub(crate) use token::Number;
