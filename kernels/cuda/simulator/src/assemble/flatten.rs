//! From the statements of a kernel and of what it calls to one list of instructions.

use super::flat::{Arg, Flat, Virtual};
use super::module::Names;
use super::scope::{Name, Scopes};
use super::shared::SharedLayout;
use super::special::Special;
use crate::fault::ParseError;
use crate::machine::Space;
use crate::syntax::{Function, Instruction, Number, Operand, RegisterKind, Statement, Variable};
use std::collections::HashMap;

/// Functions that call each other deeper than this are recursive, most likely.
const MAX_CALL_DEPTH: usize = 16;

/// No kernel of ours comes near; what calls much inlines to more than is written.
const MAX_INSTRUCTIONS: usize = 1 << 20;

/// A kernel as one list.
#[derive(Debug)]
pub(crate) struct Flattened<'t> {
    pub(crate) instructions: Vec<Flat<'t>>,
    /// Of each register.
    pub(crate) kinds: Vec<RegisterKind>,
    pub(crate) specials: HashMap<Special, Virtual>,
    /// Bytes of shared memory before what the launch adds.
    pub(crate) shared_bytes: usize,
    pub(crate) local_bytes: usize,
}

impl<'t> Flattened<'t> {
    pub(crate) fn new(kernel: &'t Function<'t>, names: &Names<'t>) -> Result<Self, ParseError> {
        let mut flattener = Flattener {
            names,
            shared: SharedLayout::of(kernel, names),
            scopes: Scopes::default(),
            kinds: Vec::new(),
            instructions: Vec::new(),
            labels: Vec::new(),
            specials: HashMap::new(),
            local_bytes: 0,
        };
        flattener.scopes.open();
        let mut offset = 0_usize;
        for parameter in &kernel.parameters {
            offset = offset.next_multiple_of(parameter.alignment);
            let meaning = Name::Variable { space: Space::Parameter, address: offset as u64 };
            flattener.scopes.declare(parameter.name, meaning);
            offset += parameter.bytes;
        }
        flattener.body(kernel, None, 0)?;
        flattener.finish(kernel)
    }
}

#[derive(Debug)]
struct Flattener<'n, 't> {
    names: &'n Names<'t>,
    shared: SharedLayout<'t>,
    scopes: Scopes<'t>,
    kinds: Vec<RegisterKind>,
    instructions: Vec<Flat<'t>>,
    /// Which instruction each label stands before, once it was met.
    labels: Vec<Option<usize>>,
    specials: HashMap<Special, Virtual>,
    local_bytes: usize,
}

impl<'t> Flattener<'_, 't> {
    /// `end` is the label after a function that is called; a kernel has none.
    fn body(&mut self, function: &'t Function<'t>, end: Option<usize>, depth: usize) -> Result<(), ParseError> {
        let Some(statements) = &function.body else {
            return Err(ParseError { line: function.line, message: format!("`{}` has no body", function.name) });
        };
        let outer = self.scopes.depth();
        self.scopes.open();
        self.declare_labels(statements);
        for (index, statement) in statements.iter().enumerate() {
            match statement {
                Statement::Open => {
                    self.scopes.open();
                    self.declare_labels(&statements[index + 1..]);
                }
                Statement::Close => self.scopes.close(),
                Statement::Registers { kind, name, count } => {
                    let first = Virtual(self.kinds.len() as u32);
                    let total = count.unwrap_or(1) as usize;
                    self.kinds.resize(self.kinds.len() + total, *kind);
                    let meaning = match count {
                        Some(count) => Name::Registers { first, count: *count },
                        None => Name::Register(first),
                    };
                    self.scopes.declare(name, meaning);
                }
                Statement::Variable(variable) => self.variable(variable)?,
                Statement::Label(name) => {
                    if let Some(Name::Label(label)) = self.scopes.get(name) {
                        self.labels[label] = Some(self.instructions.len());
                    }
                }
                Statement::Targets { name, labels } => {
                    let missing = |label: &str| ParseError {
                        line: function.line,
                        message: format!("`{}` has no label `{label}`", function.name),
                    };
                    let labels = labels.iter().map(|label| match self.scopes.get(label) {
                        Some(Name::Label(label)) => Ok(label),
                        _ => Err(missing(label)),
                    });
                    let labels = labels.collect::<Result<_, _>>()?;
                    self.scopes.declare(name, Name::Labels(labels));
                }
                Statement::Instruction(instruction) => self.instruction(instruction, end, depth)?,
            }
            if self.instructions.len() > MAX_INSTRUCTIONS {
                let message = format!("`{}` is too long with all that it calls", function.name);
                return Err(ParseError { line: function.line, message });
            }
        }
        while self.scopes.depth() > outer {
            self.scopes.close();
        }
        Ok(())
    }

    /// Labels may be used before they are met: all those of a block are declared where it opens.
    fn declare_labels(&mut self, statements: &'t [Statement<'t>]) {
        let mut depth = 0;
        for statement in statements {
            match statement {
                Statement::Open => depth += 1,
                Statement::Close if depth == 0 => return,
                Statement::Close => depth -= 1,
                Statement::Label(name) if depth == 0 => {
                    let label = self.new_label();
                    self.scopes.declare(name, Name::Label(label));
                }
                Statement::Label(_)
                | Statement::Registers { .. }
                | Statement::Variable(_)
                | Statement::Targets { .. }
                | Statement::Instruction(_) => {}
            }
        }
    }

    fn new_label(&mut self) -> usize {
        self.labels.push(None);
        self.labels.len() - 1
    }

    fn variable(&mut self, variable: &'t Variable<'t>) -> Result<(), ParseError> {
        let meaning = match variable.space {
            Space::Shared => Name::Variable { space: Space::Shared, address: self.shared.offsets[variable.name] },
            // What is passed to functions lies beside local variables: either is each thread's own.
            Space::Local | Space::Parameter => {
                let offset = self.local_bytes.next_multiple_of(variable.alignment);
                self.local_bytes = offset + variable.bytes;
                if self.local_bytes > 1 << 20 {
                    let message = format!("`{}` is more local memory than a thread has", variable.name);
                    return Err(ParseError { line: variable.line, message });
                }
                Name::Variable { space: Space::Local, address: offset as u64 }
            }
            Space::Global | Space::Const | Space::Generic => {
                let message = format!("`{}` can only be declared in a module", variable.name);
                return Err(ParseError { line: variable.line, message });
            }
        };
        self.scopes.declare(variable.name, meaning);
        Ok(())
    }

    fn instruction(
        &mut self,
        instruction: &'t Instruction<'t>,
        end: Option<usize>,
        depth: usize,
    ) -> Result<(), ParseError> {
        let error = |message| ParseError { line: instruction.line, message };
        let guard = match &instruction.guard {
            Some(guard) => match self.scopes.get(guard.register) {
                Some(Name::Register(register)) => Some((register, guard.negated)),
                _ => return Err(error(format!("there is no register `{}`", guard.register))),
            },
            None => None,
        };
        let flat = |opcode, arguments| Flat::new(instruction.text, guard, opcode, arguments);
        let flat = match (instruction.opcode.split('.').next(), end) {
            (Some("call"), _) => return self.call(instruction, guard, depth),
            (Some("ret"), Some(end)) => flat("bra", vec![Arg::Target(end)]),
            _ => {
                let arguments = instruction.operands.iter().map(|operand| self.argument(operand));
                flat(instruction.opcode, arguments.collect::<Result<_, _>>().map_err(error)?)
            }
        };
        self.instructions.push(flat);
        Ok(())
    }

    /// Puts the instructions of the called function in the place of the call. A call that is not simulated stays, so that the launch
    /// which comes to it faults.
    fn call(
        &mut self,
        instruction: &'t Instruction<'t>,
        guard: Option<(Virtual, bool)>,
        depth: usize,
    ) -> Result<(), ParseError> {
        let flat = |opcode| Flat::new(instruction.text, guard, opcode, Vec::new());
        let Some((function, bindings)) = self.callee(instruction) else {
            self.instructions.push(flat(instruction.opcode));
            return Ok(());
        };
        if function.name == "__assertfail" {
            self.instructions.push(flat("trap"));
            return Ok(());
        }
        if depth == MAX_CALL_DEPTH || function.body.is_none() {
            self.instructions.push(flat(instruction.opcode));
            return Ok(());
        }
        let end = self.new_label();
        if let Some((register, negated)) = guard {
            let around = Flat::new(instruction.text, Some((register, !negated)), "bra", vec![Arg::Target(end)]);
            self.instructions.push(around);
        }
        self.scopes.open();
        for (name, meaning) in bindings {
            self.scopes.declare(name, meaning);
        }
        self.body(function, Some(end), depth + 1)?;
        self.scopes.close();
        self.labels[end] = Some(self.instructions.len());
        Ok(())
    }

    /// The function that is called, and what its parameters and results are where it is called. None for calls through pointers.
    fn callee(&self, instruction: &'t Instruction<'t>) -> Option<(&'t Function<'t>, Vec<(&'t str, Name)>)> {
        let (results, name, parameters): (&[Operand<'t>], _, &[Operand<'t>]) = match &instruction.operands[..] {
            [Operand::List(results), Operand::Name { name, .. }, Operand::List(parameters)] => {
                (results, name, parameters)
            }
            [Operand::List(results), Operand::Name { name, .. }] => (results, name, &[]),
            [Operand::Name { name, .. }, Operand::List(parameters)] => (&[], name, parameters),
            [Operand::Name { name, .. }] => (&[], name, &[]),
            _ => return None,
        };
        let function = *self.names.functions.get(name)?;
        if results.len() != function.results.len() || parameters.len() != function.parameters.len() {
            return None;
        }
        let passed = results.iter().chain(parameters);
        let declared = function.results.iter().chain(&function.parameters);
        let binding = |(operand, variable): (&Operand<'t>, &'t Variable<'t>)| {
            let Operand::Name { name, .. } = operand else { return None };
            let meaning = self.scopes.get(name)?;
            matches!(meaning, Name::Variable { .. }).then_some((variable.name, meaning))
        };
        Some((function, passed.zip(declared).map(binding).collect::<Option<_>>()?))
    }

    fn argument(&mut self, operand: &Operand<'t>) -> Result<Arg, String> {
        Ok(match operand {
            Operand::Number(number) => Arg::Number(*number),
            Operand::Name { name: "_", .. } => Arg::Nothing,
            Operand::Name { name, offset } => self.named(name, *offset)?,
            Operand::Not(name) => match self.scopes.get(name) {
                Some(Name::Register(register)) => Arg::Not(register),
                _ => return Err(format!("there is no register `{name}`")),
            },
            Operand::Address { name: None, offset } => Arg::Address { space: None, base: None, offset: *offset },
            Operand::Address { name: Some(name), offset } => match self.named(name, 0)? {
                Arg::Register(base) => Arg::Address { space: None, base: Some(base), offset: *offset },
                Arg::Number(Number::Integer(address)) => {
                    Arg::Address { space: self.space(name), base: None, offset: address.wrapping_add(*offset) }
                }
                _ => return Err(format!("`{name}` has no address")),
            },
            Operand::Vector(elements) | Operand::List(elements) => {
                let elements = elements.iter().map(|element| self.argument(element));
                Arg::Vector(elements.collect::<Result<_, _>>()?)
            }
            Operand::Pair(elements) => {
                Arg::Pair(Box::new([self.argument(&elements[0])?, self.argument(&elements[1])?]))
            }
        })
    }

    fn named(&mut self, name: &'t str, offset: u64) -> Result<Arg, String> {
        match self.scopes.get(name) {
            Some(Name::Register(register)) => return Ok(Arg::Register(register)),
            Some(Name::Variable { address, .. }) => {
                return Ok(Arg::Number(Number::Integer(address.wrapping_add(offset))));
            }
            Some(Name::Label(label)) => return Ok(Arg::Target(label)),
            Some(Name::Labels(labels)) => return Ok(Arg::Targets(labels.to_vec())),
            Some(Name::Registers { .. }) | None => {}
        }
        if let Some(special) = Special::named(name) {
            let kinds = &mut self.kinds;
            let register = self.specials.entry(special).or_insert_with(|| {
                kinds.push(RegisterKind::Bits32);
                Virtual(kinds.len() as u32 - 1)
            });
            return Ok(Arg::Register(*register));
        }
        if Special::is_clock(name) {
            return Ok(Arg::Clock);
        }
        let address = match self.names.globals.get(name) {
            Some((address, _)) => *address,
            None if name == "WARP_SZ" => 32,
            None => *self.shared.offsets.get(name).ok_or_else(|| format!("there is no `{name}`"))?,
        };
        Ok(Arg::Number(Number::Integer(address.wrapping_add(offset))))
    }

    /// Where a variable lies.
    fn space(&self, name: &str) -> Option<Space> {
        match self.scopes.get(name) {
            Some(Name::Variable { space, .. }) => Some(space),
            _ if self.names.globals.contains_key(name) => Some(Space::Global),
            _ if self.shared.offsets.contains_key(name) => Some(Space::Shared),
            _ => None,
        }
    }

    /// Puts instructions in the place of labels.
    fn finish(mut self, kernel: &Function<'t>) -> Result<Flattened<'t>, ParseError> {
        // Whoever comes to the end has ended.
        self.instructions.push(Flat::new("", None, "exit", Vec::new()));
        let missing = || ParseError { line: kernel.line, message: format!("`{}` lacks a label", kernel.name) };
        for argument in self.instructions.iter_mut().flat_map(|instruction| &mut instruction.arguments) {
            let targets = match argument {
                Arg::Target(target) => std::slice::from_mut(target),
                Arg::Targets(targets) => &mut targets[..],
                _ => continue,
            };
            for target in targets {
                *target = self.labels[*target].ok_or_else(missing)?;
            }
        }
        Ok(Flattened {
            instructions: self.instructions,
            kinds: self.kinds,
            specials: self.specials,
            shared_bytes: self.shared.bytes,
            local_bytes: self.local_bytes,
        })
    }
}
