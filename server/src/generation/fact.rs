//! What happens to a generation, in the server's own terms.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use x0_openapi::{GenerationError, ImageRecord, PreviewEvent, StepEvent};

/// What is remembered and never lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Once in each run of the generation.
    Queued {
        position: u32,
        eta_seconds: Option<f64>,
    },
    Started,
    Image(FinishedImage),
    Succeeded,
    Failed(GenerationError),
    Cancelled,
}

/// A picture, encoded as the request wants it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedImage {
    /// With `b64` where the request asks for it.
    pub record: ImageRecord,
    /// Kept elsewhere where a fact is written down.
    #[serde(skip)]
    pub file: Bytes,
}

/// What is shown to those who watch, and may be missed.
#[derive(Clone, Debug, PartialEq)]
pub enum Glimpse {
    /// The place in the queue changed.
    Moved {
        position: u32,
        eta_seconds: Option<f64>,
    },
    Step(StepEvent),
    Preview(PreviewEvent),
}

/// Names a fact among the facts of its generation; `Last-Event-ID` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Which run of the generation, 1 for the first.
    pub attempt: u32,
    /// Which fact of this run, 1 for the first.
    pub n: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.n)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (attempt, n) = text.split_once('.').ok_or(())?;
        Ok(Self { attempt: attempt.parse().map_err(|_| ())?, n: n.parse().map_err(|_| ())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_read_as_they_are_written() {
        assert_eq!("1.12".parse(), Ok(EventId { attempt: 1, n: 12 }));
        assert_eq!(EventId { attempt: 3, n: 4 }.to_string(), "3.4");
        for wrong in ["", "1", "1.", ".1", "1.2.3", "a.b", "-1.2", "1.99999999999"] {
            assert_eq!(wrong.parse::<EventId>(), Err(()), "{wrong}");
        }
    }
}
