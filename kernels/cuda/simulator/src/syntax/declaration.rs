//! What a module declares.

use super::statement::{Statement, body};
use super::token::{Number, Token, Tokens};
use crate::fault::ParseError;

/// Bytes of a variable. No module of ours comes near.
const MAX_VARIABLE: usize = 1 << 28;

/// What stands in a module.
#[derive(Clone, Debug)]
pub(crate) enum Declaration<'t> {
    Variable(Variable<'t>),
    Function(Function<'t>),
}

/// Where a variable lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    Global,
    Const,
    Shared,
    Local,
    Parameter,
    /// Any of them: the address tells which.
    Generic,
}

/// A variable of any state space but registers.
#[derive(Clone, Debug)]
pub(crate) struct Variable<'t> {
    pub(crate) space: Space,
    pub(crate) name: &'t str,
    pub(crate) alignment: usize,
    pub(crate) bytes: usize,
    pub(crate) element_bytes: usize,
    /// Of its first elements; the others are 0.
    pub(crate) initial: Vec<Initial<'t>>,
    pub(crate) line: usize,
}

/// The value of an element.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Initial<'t> {
    Number(Number),
    /// The address of another variable, and what is added to it.
    Address {
        name: &'t str,
        offset: u64,
    },
}

/// A kernel or a device function.
#[derive(Clone, Debug)]
pub(crate) struct Function<'t> {
    pub(crate) name: &'t str,
    pub(crate) is_kernel: bool,
    pub(crate) results: Vec<Variable<'t>>,
    pub(crate) parameters: Vec<Variable<'t>>,
    /// None where it is only declared.
    pub(crate) body: Option<Vec<Statement<'t>>>,
    pub(crate) line: usize,
}

/// Reads a module.
pub(crate) fn declarations(text: &str) -> Result<Vec<Declaration<'_>>, ParseError> {
    let mut tokens = Tokens::new(text)?;
    let mut declarations = Vec::new();
    if tokens.peek() != Token::Word(".version") {
        return Err(tokens.error("PTX begins with `.version`".into()));
    }
    loop {
        match tokens.peek() {
            Token::End => return Ok(declarations),
            Token::Word(".visible" | ".extern" | ".weak" | ".common") => {
                tokens.take()?;
            }
            Token::Word(".version" | ".target" | ".address_size" | ".file") => {
                let line = tokens.line();
                while tokens.line() == line && tokens.peek() != Token::End {
                    tokens.take()?;
                }
            }
            Token::Word(".section") => section(&mut tokens)?,
            Token::Word(".global" | ".const" | ".shared") => {
                declarations.push(Declaration::Variable(variable(&mut tokens)?));
                tokens.expect(';')?;
            }
            Token::Word(word @ (".entry" | ".func")) => {
                declarations.push(Declaration::Function(function(&mut tokens, word == ".entry")?));
            }
            other => return Err(tokens.error(format!("{other:?} begins no declaration"))),
        }
    }
}

/// Information for debuggers.
fn section(tokens: &mut Tokens<'_>) -> Result<(), ParseError> {
    loop {
        match tokens.take()? {
            Token::Sign('}') => return Ok(()),
            Token::End => return Err(tokens.error("a section does not end".into())),
            _ => {}
        }
    }
}

/// From the state space to before the semicolon or the comma.
pub(super) fn variable<'t>(tokens: &mut Tokens<'t>) -> Result<Variable<'t>, ParseError> {
    let line = tokens.line();
    let space = match tokens.word()? {
        ".global" => Space::Global,
        ".const" => Space::Const,
        ".shared" => Space::Shared,
        ".local" => Space::Local,
        ".param" => Space::Parameter,
        other => return Err(tokens.error(format!("`{other}` is no state space of a variable"))),
    };
    let mut alignment = None;
    let mut lanes = 1;
    let mut element_bytes = None;
    let name = loop {
        match tokens.word()? {
            ".align" => {
                let value = tokens.size()?;
                // A pointer's alignment follows `.ptr` and says nothing about the parameter itself.
                if element_bytes.is_none() {
                    alignment = Some(value);
                }
            }
            ".v2" => lanes = 2,
            ".v4" => lanes = 4,
            ".ptr" | ".global" | ".const" | ".shared" | ".local" | ".unified" => {}
            word if word.starts_with('.') => {
                let bytes = type_bytes(word).ok_or_else(|| tokens.error(format!("`{word}` is no type")))?;
                element_bytes = Some(bytes);
            }
            name => break name,
        }
    };
    let element_bytes = element_bytes.ok_or_else(|| tokens.error(format!("`{name}` has no type")))?;
    let alignment = alignment.unwrap_or(element_bytes * lanes);
    if !alignment.is_power_of_two() || alignment > 1 << 16 {
        return Err(tokens.error(format!("{alignment} is no alignment")));
    }
    let mut elements = Some(lanes);
    while tokens.skip('[')? {
        // An empty pair of brackets is memory whose size the launch says, or the initial values.
        let length = if tokens.peek() == Token::Sign(']') { 0 } else { tokens.size()? };
        elements = elements.and_then(|elements| elements.checked_mul(length));
        tokens.expect(']')?;
    }
    let mut initial = Vec::new();
    if tokens.skip('=')? {
        initial_values(tokens, &mut initial)?;
    }
    let elements = match elements {
        Some(0) => Some(initial.len()),
        elements => elements,
    };
    let bytes =
        elements.and_then(|elements| elements.checked_mul(element_bytes)).filter(|bytes| *bytes <= MAX_VARIABLE);
    let bytes = bytes.ok_or_else(|| tokens.error(format!("`{name}` is too large")))?;
    if initial.len() * element_bytes > bytes {
        return Err(tokens.error(format!("`{name}` has more values than elements")));
    }
    Ok(Variable { space, name, alignment, bytes, element_bytes, initial, line })
}

/// A value, or values in braces; the braces of arrays of arrays say nothing that their order does not.
fn initial_values<'t>(tokens: &mut Tokens<'t>, values: &mut Vec<Initial<'t>>) -> Result<(), ParseError> {
    let mut depth = 0;
    loop {
        match tokens.peek() {
            Token::Sign('{') => {
                tokens.take()?;
                depth += 1;
                continue;
            }
            Token::Sign('}') => {}
            Token::Word(word) => {
                tokens.take()?;
                let name = if word == "generic" {
                    tokens.expect('(')?;
                    let name = tokens.word()?;
                    tokens.expect(')')?;
                    name
                } else {
                    word
                };
                let offset = if tokens.skip('+')? { tokens.integer()? } else { 0 };
                values.push(Initial::Address { name, offset });
            }
            Token::Number(number @ (Number::Single(_) | Number::Double(_))) => {
                tokens.take()?;
                values.push(Initial::Number(number));
            }
            _ => values.push(Initial::Number(Number::Integer(tokens.integer()?))),
        }
        while depth > 0 && tokens.skip('}')? {
            depth -= 1;
        }
        if depth == 0 {
            return Ok(());
        }
        tokens.expect(',')?;
    }
}

/// Bytes of one of a type.
fn type_bytes(name: &str) -> Option<usize> {
    match name {
        ".b8" | ".u8" | ".s8" => Some(1),
        ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => Some(2),
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" => Some(4),
        ".b64" | ".u64" | ".s64" | ".f64" => Some(8),
        ".b128" => Some(16),
        _ => None,
    }
}

fn function<'t>(tokens: &mut Tokens<'t>, is_kernel: bool) -> Result<Function<'t>, ParseError> {
    let line = tokens.line();
    tokens.take()?;
    let results = if tokens.peek() == Token::Sign('(') { parameters(tokens)? } else { Vec::new() };
    let name = tokens.word()?;
    let parameters = if tokens.peek() == Token::Sign('(') { parameters(tokens)? } else { Vec::new() };
    let body = loop {
        match tokens.peek() {
            Token::Sign('{') => {
                tokens.take()?;
                break Some(body(tokens)?);
            }
            Token::Sign(';') => {
                tokens.take()?;
                break None;
            }
            // `.maxntid 256, 1, 1` and others that only help the compiler.
            Token::Word(word) if word.starts_with('.') => {
                tokens.take()?;
            }
            Token::Number(_) | Token::Sign(',') => {
                tokens.take()?;
            }
            other => return Err(tokens.error(format!("{other:?} stands where `{name}` should begin"))),
        }
    };
    Ok(Function { name, is_kernel, results, parameters, body, line })
}

fn parameters<'t>(tokens: &mut Tokens<'t>) -> Result<Vec<Variable<'t>>, ParseError> {
    tokens.expect('(')?;
    let mut parameters = Vec::new();
    if tokens.skip(')')? {
        return Ok(parameters);
    }
    loop {
        parameters.push(variable(tokens)?);
        if !tokens.skip(',')? {
            tokens.expect(')')?;
            return Ok(parameters);
        }
    }
}
