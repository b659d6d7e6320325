//! The small language of the scenarios.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use x0_engine::{
    Ending, FailureCode, ImageId, Job, JobId, Policy, Priority, SchedulerOptions, SecondPass, Tenant, Transition,
};

use crate::support::{Act, Place, Simulation, Turn, count, job, key};

/// Plans that `run` makes at most: a scenario that does not come to rest is wrong.
const MOST_PLANS: usize = 10_000;

#[derive(Default)]
pub(crate) struct Scenario {
    simulation: Option<Simulation>,
    names: Vec<String>,
    transcript: String,
    /// A line that may yet turn out to repeat, and how often it did.
    pending: Option<(String, usize)>,
}

impl Scenario {
    /// Does what a line says, and tells what came of it.
    pub(crate) fn command(&mut self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let verb = words.next().expect("a command");
        let words: Vec<&str> = words.collect();
        match verb {
            "options" => self.simulation = Some(simulation(&Arguments::of(&words))),
            "submit" => self.submit(words[0], &Arguments::of(&words[1..])),
            "cancel" => {
                let id = self.id(words[0]);
                self.simulation().scheduler.cancel(id);
            }
            "fail" => self.fail(words[0], &Arguments::of(&words[1..])),
            "memory" => self.simulation().memory = words[0].parse().expect("rows"),
            "advance" => self.simulation().now += seconds(words[0]),
            "drain" => {
                let simulation = self.simulation();
                simulation.scheduler.drain(simulation.now + seconds(words[0]));
            }
            "run" => self.run(words.first().map(|plans| plans.parse().expect("a number of plans"))),
            _ => panic!("no such command: {line}"),
        }
        self.flush();
        std::mem::take(&mut self.transcript)
    }

    fn simulation(&mut self) -> &mut Simulation {
        self.simulation.get_or_insert_with(|| simulation(&Arguments::of(&[])))
    }

    fn id(&self, name: &str) -> JobId {
        JobId(self.names.iter().position(|known| known == name).expect("a submitted job") as u128)
    }

    fn submit(&mut self, name: &str, arguments: &Arguments) {
        self.names.push(name.into());
        let id = self.names.len() as u128 - 1;
        let simulation = self.simulation.get_or_insert_with(|| simulation(&Arguments::of(&[])));
        let job = Job {
            images: count(arguments.number("images", 1)),
            tenant: Tenant(u64::from(arguments.number("tenant", 0))),
            priority: match arguments.text("priority").unwrap_or("normal") {
                "low" => Priority::Low,
                "normal" => Priority::Normal,
                "high" => Priority::High,
                other => panic!("no such priority: {other}"),
            },
            deadline: arguments.text("deadline").map(|after| simulation.now + seconds(after)),
            preview_every: arguments.text("preview").map(|_| count(arguments.number("preview", 1))),
            key: key(arguments.text("model").unwrap_or("m"), arguments.number("size", 8)),
            second_pass: arguments.text("then").map(|_| SecondPass {
                key: key(arguments.text("model").unwrap_or("m"), arguments.number("then-size", 16)),
                steps: count(arguments.number("then", 1)),
            }),
            ..job(id, arguments.number("steps", 1), arguments.number("rows", 1))
        };
        simulation.scheduler.submit(&job);
    }

    fn fail(&mut self, image: &str, arguments: &Arguments) {
        let (name, image) = image.split_once('/').expect("NAME/IMAGE");
        let image = ImageId { job: self.id(name), image: image.parse().expect("an image") };
        let place = match arguments.text("at").expect("a place") {
            "admit" => Place::Admit,
            "decode" => Place::Decode,
            step => Place::Step(step.parse().expect("a step")),
        };
        self.simulation().faults.insert((image, place), FailureCode::NanOutput);
    }

    fn run(&mut self, plans: Option<usize>) {
        for _ in 0..plans.unwrap_or(MOST_PLANS) {
            let at = self.simulation().seconds();
            let turn = self.simulation().turn();
            self.write(at, &turn);
            if turn.act == Act::Rest {
                return;
            }
        }
        assert!(plans.is_some(), "the scenario does not come to rest");
    }

    fn write(&mut self, at: f64, turn: &Turn) {
        let (waiting, others): (Vec<_>, Vec<_>) =
            turn.transitions.iter().partition(|(_, what)| matches!(what, Transition::Queued { .. }));
        for (id, what) in waiting {
            self.line(at, &format!("{} {}", self.name(*id), told(what)));
        }
        let act = self.act(&turn.act);
        self.line(at, &if turn.out_of_memory { format!("{act}, out of memory") } else { act });
        let at = self.simulation().seconds();
        for (id, what) in others {
            if !matches!(what, Transition::Stepped { .. }) {
                self.line(at, &format!("{} {}", self.name(*id), told(what)));
            }
        }
    }

    fn act(&self, act: &Act) -> String {
        let jobs = |ids: &[JobId]| ids.iter().map(|id| self.name(*id)).collect::<Vec<_>>().join(" ");
        let image = |id: &ImageId| format!("{}/{}", self.name(id.job), id.image);
        match act {
            Act::Rest => "rest".into(),
            Act::Retire(ids) => format!("retire {}", jobs(ids)),
            Act::Admit(images) => format!("admit {}", images.iter().map(image).collect::<Vec<_>>().join(" ")),
            Act::Decode(id) => format!("decode {}", image(id)),
            Act::Step { rows, images, .. } => {
                let preview = |preview| if preview { "+preview" } else { "" };
                let images = images.iter().map(|step| format!(" {}{}", image(&step.image), preview(step.preview)));
                format!("step{}, rows: {rows}", images.collect::<String>())
            }
        }
    }

    fn name(&self, id: JobId) -> &str {
        &self.names[id.0 as usize]
    }

    fn line(&mut self, at: f64, text: &str) {
        match &mut self.pending {
            Some((line, times)) if line.ends_with(&format!("] {text}")) => *times += 1,
            Some(_) | None => {
                self.flush();
                self.pending = Some((format!("[{at:6.1}] {text}"), 1));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((line, times)) = self.pending.take() {
            let times = if times > 1 { format!(", {times} times") } else { String::new() };
            writeln!(self.transcript, "{line}{times}").expect("a string takes all");
        }
    }
}

fn told(what: &Transition) -> String {
    match what {
        Transition::Queued { position, eta } => format!("queued, {position} before it, {:.1} s", eta.as_secs_f64()),
        Transition::Started => "started".into(),
        Transition::Stepped { image, step, steps } => format!("image {image} step {step} of {steps}"),
        Transition::Finished { image } => format!("image {image} finished"),
        Transition::Ended(Ending::Succeeded) => "succeeded".into(),
        Transition::Ended(Ending::Failed(failure)) => format!("failed: {}", failure.code.as_str()),
        Transition::Ended(Ending::Cancelled) => "cancelled".into(),
    }
}

fn simulation(arguments: &Arguments) -> Simulation {
    let policy = match arguments.text("policy").unwrap_or("best-value").split_once(':') {
        Some(("fixed-batch", size)) => Policy::FixedBatch(count(size.parse().expect("a size"))),
        None if arguments.text("policy") == Some("first-come") => Policy::FirstCome,
        Some(_) | None => Policy::BestValue,
    };
    let (overhead, row) = arguments.text("cost").unwrap_or("0+1").split_once('+').expect("OVERHEAD+ROW");
    let [overhead, row] = [overhead, row].map(|number| number.parse::<f64>().expect("seconds"));
    let options = SchedulerOptions {
        policy,
        max_rows: count(arguments.number("max-rows", 8)),
        max_slots: count(arguments.number("max-slots", 8)),
    };
    let known: Vec<u32> = match arguments.text("known") {
        Some("none") => Vec::new(),
        Some(sizes) => sizes.split(',').map(|rows| rows.parse().expect("rows")).collect(),
        None => vec![1, 2, 4, 8],
    };
    let mut simulation = Simulation::new(options, move |rows| overhead + row * rows, &known);
    simulation.memory = arguments.number("memory", u32::MAX);
    simulation.decode = seconds(arguments.text("decode").unwrap_or("0"));
    simulation
}

fn seconds(word: &str) -> Duration {
    Duration::from_secs_f64(word.parse().expect("seconds"))
}

struct Arguments<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Arguments<'a> {
    fn of(words: &[&'a str]) -> Self {
        Arguments(words.iter().map(|word| word.split_once('=').expect("NAME=VALUE")).collect())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    fn number(&self, name: &str, default: u32) -> u32 {
        self.text(name).map_or(default, |number| number.parse().expect("a number"))
    }
}
