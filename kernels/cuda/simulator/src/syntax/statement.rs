//! The statements of a function.

use super::declaration::{Variable, variable};
use super::token::{Number, Token, Tokens};
use crate::fault::ParseError;

/// What stands in a function.
#[derive(Clone, Debug)]
pub(crate) enum Statement<'t> {
    /// `.reg`: one register, or with a count those of this name followed by 0 to count - 1.
    Registers {
        kind: RegisterKind,
        name: &'t str,
        count: Option<u32>,
    },
    Variable(Variable<'t>),
    Label(&'t str),
    /// `.branchtargets`
    Targets {
        name: &'t str,
        labels: Vec<&'t str>,
    },
    Open,
    Close,
    Instruction(Instruction<'t>),
}

/// What a register can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RegisterKind {
    Predicate,
    Bits16,
    Bits32,
    Bits64,
}

/// An instruction as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Instruction<'t> {
    pub(crate) text: &'t str,
    pub(crate) line: usize,
    pub(crate) guard: Option<Guard<'t>>,
    pub(crate) opcode: &'t str,
    pub(crate) operands: Vec<Operand<'t>>,
}

/// `@%p` or `@!%p` before an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard<'t> {
    pub(crate) register: &'t str,
    pub(crate) negated: bool,
}

/// An operand as it is written.
#[derive(Clone, Debug)]
pub(crate) enum Operand<'t> {
    Number(Number),
    /// A register, a variable, a label or a function; `offset` is what is added to it.
    Name {
        name: &'t str,
        offset: u64,
    },
    /// `!%p`
    Not(&'t str),
    /// `[name+offset]`, or `[offset]`
    Address {
        name: Option<&'t str>,
        offset: u64,
    },
    /// `{a, b}`
    Vector(Vec<Operand<'t>>),
    /// `a|b`
    Pair(Box<[Operand<'t>; 2]>),
    /// `(a, b)` of a call
    List(Vec<Operand<'t>>),
}

/// Reads statements up to the brace that closes the function, whose opening brace was taken.
pub(super) fn body<'t>(tokens: &mut Tokens<'t>) -> Result<Vec<Statement<'t>>, ParseError> {
    let mut statements = Vec::new();
    let mut depth = 0;
    loop {
        match tokens.peek() {
            Token::Sign('{') => {
                tokens.take()?;
                depth += 1;
                statements.push(Statement::Open);
            }
            Token::Sign('}') => {
                tokens.take()?;
                if depth == 0 {
                    return Ok(statements);
                }
                depth -= 1;
                statements.push(Statement::Close);
            }
            Token::Sign('@') => statements.push(Statement::Instruction(instruction(tokens)?)),
            Token::Sign(';') => tokens.expect(';')?,
            Token::Word(word) if word.starts_with('.') => directive(tokens, word, &mut statements)?,
            Token::Word(_) => labelled(tokens, &mut statements)?,
            other => return Err(tokens.error(format!("{other:?} begins no statement"))),
        }
    }
}

fn directive<'t>(tokens: &mut Tokens<'t>, word: &str, statements: &mut Vec<Statement<'t>>) -> Result<(), ParseError> {
    match word {
        ".reg" => registers(tokens, statements),
        ".shared" | ".local" | ".param" | ".global" | ".const" => {
            statements.push(Statement::Variable(variable(tokens)?));
            tokens.expect(';')
        }
        ".loc" => {
            // The only directive that ends with its line; it has no semicolon.
            let line = tokens.line();
            while tokens.line() == line && tokens.peek() != Token::End {
                tokens.take()?;
            }
            Ok(())
        }
        ".pragma" => {
            while !tokens.skip(';')? {
                if tokens.take()? == Token::End {
                    return Err(tokens.error("`;` is missing".into()));
                }
            }
            Ok(())
        }
        other => Err(tokens.error(format!("`{other}` is no directive of a function"))),
    }
}

/// `.reg .b32 %r<10>, %s;`
fn registers<'t>(tokens: &mut Tokens<'t>, statements: &mut Vec<Statement<'t>>) -> Result<(), ParseError> {
    tokens.word()?;
    let kind = match tokens.word()? {
        ".pred" => RegisterKind::Predicate,
        ".b8" | ".u8" | ".s8" | ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => RegisterKind::Bits16,
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" => RegisterKind::Bits32,
        ".b64" | ".u64" | ".s64" | ".f64" => RegisterKind::Bits64,
        other => return Err(tokens.error(format!("registers of the type `{other}` are not simulated"))),
    };
    loop {
        let name = tokens.word()?;
        let mut count = None;
        if tokens.skip('<')? {
            let value = tokens.size()?;
            if value > 1 << 20 {
                return Err(tokens.error(format!("{value} registers are more than any function has")));
            }
            count = Some(value as u32);
            tokens.expect('>')?;
        }
        statements.push(Statement::Registers { kind, name, count });
        if !tokens.skip(',')? {
            return tokens.expect(';');
        }
    }
}

/// An instruction, or a label and what follows its colon.
fn labelled<'t>(tokens: &mut Tokens<'t>, statements: &mut Vec<Statement<'t>>) -> Result<(), ParseError> {
    let mut ahead = tokens.clone();
    let name = ahead.word()?;
    if !ahead.skip(':')? {
        statements.push(Statement::Instruction(instruction(tokens)?));
        return Ok(());
    }
    *tokens = ahead;
    match tokens.peek() {
        Token::Word(".branchtargets") => {
            tokens.word()?;
            let mut labels = vec![tokens.word()?];
            while tokens.skip(',')? {
                labels.push(tokens.word()?);
            }
            statements.push(Statement::Targets { name, labels });
            tokens.expect(';')
        }
        Token::Word(".callprototype") => {
            // Only calls through pointers need it, and they are not simulated.
            while !tokens.skip(';')? {
                if tokens.take()? == Token::End {
                    return Err(tokens.error("`;` is missing".into()));
                }
            }
            Ok(())
        }
        _ => {
            statements.push(Statement::Label(name));
            Ok(())
        }
    }
}

fn instruction<'t>(tokens: &mut Tokens<'t>) -> Result<Instruction<'t>, ParseError> {
    let (position, line) = (tokens.position(), tokens.line());
    let mut guard = None;
    if tokens.skip('@')? {
        let negated = tokens.skip('!')?;
        guard = Some(Guard { register: tokens.word()?, negated });
    }
    let opcode = tokens.word()?;
    let mut operands = Vec::new();
    if tokens.peek() != Token::Sign(';') {
        operands.push(operand(tokens)?);
        while tokens.skip(',')? {
            operands.push(operand(tokens)?);
        }
    }
    let text = tokens.text_since(position);
    tokens.expect(';')?;
    Ok(Instruction { text, line, guard, opcode, operands })
}

fn operand<'t>(tokens: &mut Tokens<'t>) -> Result<Operand<'t>, ParseError> {
    let first = simple_operand(tokens)?;
    if tokens.skip('|')? {
        return Ok(Operand::Pair(Box::new([first, simple_operand(tokens)?])));
    }
    Ok(first)
}

fn simple_operand<'t>(tokens: &mut Tokens<'t>) -> Result<Operand<'t>, ParseError> {
    match tokens.peek() {
        Token::Word(name) => {
            tokens.take()?;
            Ok(Operand::Name { name, offset: offset(tokens)? })
        }
        Token::Sign('-') => Ok(Operand::Number(Number::Integer(tokens.integer()?))),
        Token::Number(number) => {
            tokens.take()?;
            Ok(Operand::Number(number))
        }
        Token::Sign('!') => {
            tokens.take()?;
            Ok(Operand::Not(tokens.word()?))
        }
        Token::Sign('[') => {
            tokens.take()?;
            let name = match tokens.peek() {
                Token::Word(name) => {
                    tokens.take()?;
                    Some(name)
                }
                _ => None,
            };
            let offset = if name.is_some() { offset(tokens)? } else { tokens.integer()? };
            tokens.expect(']')?;
            Ok(Operand::Address { name, offset })
        }
        Token::Sign('{') => Ok(Operand::Vector(list(tokens, '}')?)),
        Token::Sign('(') => Ok(Operand::List(list(tokens, ')')?)),
        other => Err(tokens.error(format!("{other:?} is no operand"))),
    }
}

/// `+4`, `-4`, `+-4` or nothing.
fn offset(tokens: &mut Tokens<'_>) -> Result<u64, ParseError> {
    match tokens.peek() {
        Token::Sign('+') => {
            tokens.take()?;
            tokens.integer()
        }
        Token::Sign('-') => tokens.integer(),
        _ => Ok(0),
    }
}

fn list<'t>(tokens: &mut Tokens<'t>, end: char) -> Result<Vec<Operand<'t>>, ParseError> {
    tokens.take()?;
    let mut operands = Vec::new();
    if tokens.skip(end)? {
        return Ok(operands);
    }
    loop {
        // Lists do not nest in PTX; refusing it here keeps foreign text from recursing without bound.
        if matches!(tokens.peek(), Token::Sign('{' | '(')) {
            return Err(tokens.error("a list in a list".into()));
        }
        operands.push(simple_operand(tokens)?);
        if !tokens.skip(',')? {
            tokens.expect(end)?;
            return Ok(operands);
        }
    }
}
