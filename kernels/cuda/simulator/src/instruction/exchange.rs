//! What the lanes of a warp tell each other.

use super::decoder::task;
use super::opcode::Type;
use super::{Action, Decoder, Members};
use crate::assemble::Arg;
use crate::fault::FaultKind;
use crate::machine::{Effect, Lane, Mask, Predicate, Registers, Slot, Trouble, WARP, Warp, effect, lanes};

/// From which lane a lane takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shuffle {
    Up,
    Down,
    Butterfly,
    Index,
}

impl Shuffle {
    /// The lane that is asked, and whether it is within the segment. PTX ISA, "shfl.sync".
    #[inline(always)]
    fn source(self, lane: u32, b: u32, c: u32) -> (u32, bool) {
        let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
        let greatest = lane & segment | clamp & !segment;
        let least = lane & segment;
        let (source, valid) = match self {
            Self::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= greatest as i32),
            Self::Down => (lane + b, lane + b <= greatest),
            Self::Butterfly => (lane ^ b, lane ^ b <= greatest),
            Self::Index => (least | b & !segment, (least | b & !segment) <= greatest),
        };
        (if valid { source } else { lane }, valid)
    }

    /// For each lane the lane that is asked, and whether it is within the segment.
    #[inline(always)]
    fn sources(b: &[u32; WARP], c: &[u32; WARP], source: impl Fn(u32, u32, u32) -> (u32, bool)) -> ([u32; WARP], Mask) {
        let mut sources = [0; WARP];
        let mut valid = 0;
        for lane in 0..WARP {
            let (from, is_valid) = source(lane as u32, b[lane], c[lane]);
            sources[lane] = from;
            valid |= Mask::from(is_valid) << lane;
        }
        (sources, valid)
    }
}

impl Decoder<'_, '_> {
    pub(super) fn exchange(&mut self) -> Option<Action> {
        let is_synchronising = self.opcode.take("sync");
        match self.opcode.name {
            "activemask" => {
                self.opcode.take("b32");
                let d = self.destination(0)?;
                task(move |warp, mask| {
                    warp.registers.set(d, mask, &[mask; WARP]);
                    Ok(())
                })
            }
            _ if !is_synchronising => None,
            "shfl" => self.shuffle(),
            "vote" => self.vote(),
            "match" => self.matching(),
            "redux" => self.reduction(),
            _ => None,
        }
    }

    /// `bar.warp.sync`
    pub(super) fn warp_barrier(&mut self) -> Option<Action> {
        self.opcode.take("sync");
        let members = self.source(0)?;
        Some(gathered(members, |_: &mut Registers, _, _: &[u32; WARP]| ()))
    }

    fn shuffle(&mut self) -> Option<Action> {
        let shuffles =
            [("up", Shuffle::Up), ("down", Shuffle::Down), ("bfly", Shuffle::Butterfly), ("idx", Shuffle::Index)];
        let named = |part: &str| shuffles.iter().find(|(name, _)| *name == part).map(|(_, shuffle)| *shuffle);
        let shuffle = self.opcode.take_map(named)?;
        self.opcode.take("b32");
        let (d, p) = match self.argument(0)? {
            Arg::Pair(pair) => (self.destination_of(&pair[0])?, self.predicate_of(&pair[1])?),
            single => (self.destination_of(single)?, None),
        };
        let (a, b, c) = (self.source(1)?, self.source(2)?, self.source(3)?);
        Some(gathered(self.source(4)?, Shuffling { shuffle, d, p, a, b, c }))
    }

    fn vote(&mut self) -> Option<Action> {
        let condition = self.condition(1)?;
        let members = self.source(2)?;
        if self.opcode.take("ballot") {
            self.opcode.take("b32");
            let d = self.destination(0)?;
            return Some(gathered(members, move |registers: &mut Registers, mask, members: &[u32; WARP]| {
                let holds = registers.condition(condition) & mask;
                registers.set(d, mask, &members.map(|members| holds & members));
            }));
        }
        let kinds = ["all", "any", "uni"];
        let kind = self.opcode.take_map(|part| kinds.iter().position(|kind| *kind == part))?;
        self.opcode.take("pred");
        let p = self.predicate_of(self.argument(0)?)??;
        Some(gathered(members, move |registers: &mut Registers, mask, members: &[u32; WARP]| {
            let holds = registers.condition(condition);
            let mut result = 0;
            for lane in lanes(mask) {
                let members = members[lane] & mask;
                let (all, any) = (holds & members == members, holds & members != 0);
                let vote = [all, any, all || !any][kind];
                result |= Mask::from(vote) << lane;
            }
            registers.set_predicate(p, mask, result);
        }))
    }

    fn matching(&mut self) -> Option<Action> {
        let all = self.opcode.take("all");
        if !all && !self.opcode.take("any") {
            return None;
        }
        match self.opcode.take_type()?.bytes() {
            4 => self.matching_of::<u32>(all),
            8 => self.matching_of::<u64>(all),
            _ => None,
        }
    }

    fn matching_of<T: Lane + PartialEq>(&mut self, all: bool) -> Option<Action> {
        let (d, p) = match self.argument(0)? {
            Arg::Pair(pair) => (self.destination_of(&pair[0])?, self.predicate_of(&pair[1])?),
            single => (self.destination_of(single)?, None),
        };
        let a = self.source::<T>(1)?;
        Some(gathered(self.source(2)?, move |registers: &mut Registers, mask, members: &[u32; WARP]| {
            let values = registers.get(a);
            let mut equal = [0; WARP];
            let mut matched = 0;
            for lane in lanes(mask) {
                let members = members[lane] & mask;
                let same = lanes(members).filter(|other| values[*other] == values[lane]);
                let same = same.fold(0, |same, other| same | 1 << other);
                equal[lane] = if all && same != members { 0 } else { same };
                matched |= Mask::from(same == members) << lane;
            }
            registers.set(d, mask, &equal);
            if let Some(p) = p {
                registers.set_predicate(p, mask, matched);
            }
        }))
    }

    fn reduction(&mut self) -> Option<Action> {
        type Operation = fn(i64, i64) -> i64;
        let operations: [(&str, Operation); 6] = [
            ("add", i64::wrapping_add),
            ("min", |a, b| a.min(b)),
            ("max", |a, b| a.max(b)),
            ("and", |a, b| a & b),
            ("or", |a, b| a | b),
            ("xor", |a, b| a ^ b),
        ];
        let named = |part: &str| operations.iter().find(|(name, _)| *name == part).map(|(_, operation)| *operation);
        let operation = self.opcode.take_map(named)?;
        let signed = match self.opcode.take_type()? {
            Type::S32 => true,
            Type::U32 | Type::B32 => false,
            _ => return None,
        };
        let (d, a) = (self.destination(0)?, self.source::<u32>(1)?);
        Some(gathered(self.source(2)?, move |registers: &mut Registers, mask, members: &[u32; WARP]| {
            let wide = |value: u32| if signed { i64::from(value as i32) } else { i64::from(value) };
            let values = *registers.get(a);
            let mut result = [0; WARP];
            for lane in lanes(mask) {
                let parts = lanes(members[lane] & mask).map(|other| wide(values[other]));
                result[lane] = parts.reduce(operation).unwrap_or_default() as u32;
            }
            registers.set(d, mask, &result);
        }))
    }
}

/// What members do once they have come together.
trait Exchange: Send + Sync + 'static {
    /// `mask` are the lanes that are there, `members` those that each lane has named.
    fn run(&self, registers: &mut Registers, mask: Mask, members: &[u32; WARP]);
}

impl<F: Fn(&mut Registers, Mask, &[u32; WARP]) + Send + Sync + 'static> Exchange for F {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask, members: &[u32; WARP]) {
        self(registers, mask, members);
    }
}

/// `shfl`
struct Shuffling {
    shuffle: Shuffle,
    d: Slot<u32>,
    p: Option<Predicate>,
    a: Slot<u32>,
    b: Slot<u32>,
    c: Slot<u32>,
}

impl Exchange for Shuffling {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask, _: &[u32; WARP]) {
        let (b, c) = (registers.get(self.b), registers.get(self.c));
        // Each kind has a loop of its own, which knows what it does.
        let (sources, valid) = match self.shuffle {
            Shuffle::Up => Shuffle::sources(b, c, |lane, b, c| Shuffle::Up.source(lane, b, c)),
            Shuffle::Down => Shuffle::sources(b, c, |lane, b, c| Shuffle::Down.source(lane, b, c)),
            Shuffle::Butterfly => Shuffle::sources(b, c, |lane, b, c| Shuffle::Butterfly.source(lane, b, c)),
            Shuffle::Index => Shuffle::sources(b, c, |lane, b, c| Shuffle::Index.source(lane, b, c)),
        };
        let values = registers.get(self.a);
        // What a lane that is not here would give is not specified: all bits, so that it shows.
        let values: [u32; WARP] =
            std::array::from_fn(|lane| if mask >> lane & 1 == 1 { values[lane] } else { u32::MAX });
        let mut result = [0; WARP];
        for lane in 0..WARP {
            result[lane] = values[sources[lane] as usize % WARP];
        }
        registers.set(self.d, mask, &result);
        if let Some(p) = self.p {
            registers.set_predicate(p, mask, valid);
        }
    }
}

/// An exchange, and who its members are.
struct Gathering<E> {
    members: Slot<u32>,
    exchange: E,
}

impl<E: Exchange> Effect for Gathering<E> {
    #[inline(always)]
    fn run(&self, warp: &mut Warp<'_>, mask: Mask) -> Result<(), Trouble> {
        let members = *warp.registers.get(self.members);
        // Whoever calls has to be a member.
        let mut named = 0;
        for (lane, members) in members.iter().enumerate() {
            named |= members & 1 << lane;
        }
        if named & mask != mask {
            return Err(Trouble { lane: (mask & !named).trailing_zeros() as usize, kind: FaultKind::NotMember });
        }
        self.exchange.run(&mut warp.registers, mask, &members);
        Ok(())
    }
}

fn gathered(members: Slot<u32>, exchange: impl Exchange) -> Action {
    Action::Gathered { members: Members::Named(members), effect: effect(Gathering { members, exchange }) }
}
