//! What the lanes of a warp tell each other.

use super::decoder::boxed;
use super::opcode::Type;
use super::{Action, Decoder, Members};
use crate::assemble::Arg;
use crate::fault::FaultKind;
use crate::machine::{Lane, Mask, Registers, Slot, Trouble, WARP, lanes};

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
}

impl Decoder<'_, '_> {
    pub(super) fn exchange(&mut self) -> Option<Action> {
        let is_synchronising = self.opcode.take("sync");
        match self.opcode.name {
            "activemask" => {
                self.opcode.take("b32");
                let d = self.destination(0)?;
                self.task(move |warp, mask| {
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
        Some(gathered(members, |_, _, _| ()))
    }

    fn shuffle(&mut self) -> Option<Action> {
        let shuffles = [("up", Shuffle::Up), ("down", Shuffle::Down), ("bfly", Shuffle::Butterfly), ("idx", Shuffle::Index)];
        let named = |part: &str| shuffles.iter().find(|(name, _)| *name == part).map(|(_, shuffle)| *shuffle);
        let shuffle = self.opcode.take_map(named)?;
        self.opcode.take("b32");
        let (d, p) = match self.argument(0)? {
            Arg::Pair(pair) => (self.destination_of(&pair[0])?, self.predicate_of(&pair[1])?),
            single => (self.destination_of(single)?, None),
        };
        let (a, b, c): (Slot<u32>, Slot<u32>, Slot<u32>) = (self.source(1)?, self.source(2)?, self.source(3)?);
        Some(gathered(self.source(4)?, move |registers, mask, _| {
            let (values, b, c) = (registers.get(a), registers.get(b), registers.get(c));
            let mut result = [0; WARP];
            let mut valid = 0;
            for lane in 0..WARP {
                let (source, is_valid) = shuffle.source(lane as u32, b[lane], c[lane]);
                let source = source as usize % WARP;
                // What a lane that is not here would give is not specified: all bits, so that it shows.
                result[lane] = if mask >> source & 1 == 1 { values[source] } else { u32::MAX };
                valid |= Mask::from(is_valid) << lane;
            }
            registers.set(d, mask, &result);
            if let Some(p) = p {
                registers.set_predicate(p, mask, valid);
            }
        }))
    }

    fn vote(&mut self) -> Option<Action> {
        let condition = self.condition(1)?;
        let members = self.source(2)?;
        if self.opcode.take("ballot") {
            self.opcode.take("b32");
            let d = self.destination(0)?;
            return Some(gathered(members, move |registers, mask, members| {
                let holds = registers.condition(condition) & mask;
                registers.set(d, mask, &members.map(|members| holds & members));
            }));
        }
        let kinds = ["all", "any", "uni"];
        let kind = self.opcode.take_map(|part| kinds.iter().position(|kind| *kind == part))?;
        self.opcode.take("pred");
        let p = self.predicate_of(self.argument(0)?)??;
        Some(gathered(members, move |registers, mask, members| {
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
        Some(gathered(self.source(2)?, move |registers, mask, members| {
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
        let operations: [(&str, fn(i64, i64) -> i64); 6] = [
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
        Some(gathered(self.source(2)?, move |registers, mask, members| {
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

/// Once all members have come together, `work` is done; it is given the lanes that are there and the members that each lane named.
fn gathered(
    members: Slot<u32>,
    work: impl Fn(&mut Registers, Mask, &[u32; WARP]) + Send + Sync + 'static,
) -> Action {
    let task = boxed(move |warp, mask| {
        let named = *warp.registers.get(members);
        // Whoever calls has to be a member.
        if let Some(lane) = lanes(mask).find(|lane| named[*lane] >> lane & 1 == 0) {
            return Err(Trouble { lane, kind: FaultKind::NotMember });
        }
        work(&mut warp.registers, mask, &named);
        Ok(())
    });
    Action::Gathered { members: Members::Named(members), task }
}
