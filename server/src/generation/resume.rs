//! Taking up what an earlier process left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;
use x0_openapi::{ErrorCode, FieldError, GenerationError, ImageFormat, Named as _, OnDisconnect};

use super::service::{Submission, Waiting};
use super::{Fact, Generations, Refused};
use crate::auth::{Auth, Owner};
use crate::metrics::Outcome;
use crate::store::{StoreError, Unfinished};
use crate::validate::{Answer, Order, Validator};

/// A generation that was under way so often when a process broke down is not taken up any more.
const MOST_CRASHES: u32 = 3;
/// How long it takes for a place in a full queue to be worth another try.
const PATIENCE: Duration = Duration::from_millis(200);

impl Generations {
    /// Hands to the engine what an earlier process accepted and did not finish; each begins anew, and gives the same pictures.
    ///
    /// What was under way when a process broke down may be why it did. The store gives such generations last; they come one at a time, so that only one of
    /// them is under way if it happens again; the third time it is over with it.
    pub fn resume(
        &self,
        validator: Validator,
        auth: &Auth,
        unfinished: Vec<Unfinished>,
    ) -> impl Future<Output = ()> + use<> {
        if !unfinished.is_empty() {
            tracing::info!(generations = unfinished.len(), "taking up what was not finished");
        }
        // From now on they can be cancelled.
        self.waiting().extend(unfinished.iter().map(|one| {
            // What an order leaves to the next process says both.
            let model = one.request.model.clone().unwrap_or_default();
            let images = one.request.n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
            let place = auth.granted_job(one.owner).map(Arc::new);
            (one.id, Waiting { model, images, accepted: moment(one.created_at), place })
        }));
        let this = self.clone();
        async move {
            for one in unfinished {
                let (id, owner, suspect) = (one.id, one.owner, one.crashes > 0);
                let done = match this.resume_one(&validator, one).await {
                    Ok(()) if suspect => this.ended(owner, id).await.map(drop),
                    done => done,
                };
                if let Err(error) = done {
                    tracing::error!(%error, generation = %id, "a generation could not be taken up");
                }
            }
        }
    }

    async fn resume_one(&self, validator: &Validator, unfinished: Unfinished) -> Result<(), StoreError> {
        let (id, owner) = (unfinished.id, unfinished.owner);
        let order = match order_again(validator, unfinished).await {
            Ok(order) => order,
            Err(error) => {
                self.give_up(id, error);
                return Ok(());
            }
        };
        self.store().taking_up(id).await?;
        while let Err(Refused::QueueFull { .. }) = self.submit_waiting(id, owner, &order) {
            tokio::time::sleep(PATIENCE).await;
        }
        Ok(())
    }

    /// Hands a generation to the engine that waits for it. What the engine refuses because it ends stays unfinished, for the next process.
    fn submit_waiting(&self, id: Uuid, owner: Owner, order: &Order) -> Result<(), Refused> {
        // A cancellation comes before or after, not in between.
        let mut waiting = self.waiting();
        let Some(Waiting { accepted, place, .. }) = waiting.get(&id) else { return Ok(()) };
        let (accepted, place) = (*accepted, place.clone());
        self.submit(Submission { id, owner, order, accepted, queued: true, place, trail: None })?;
        waiting.remove(&id);
        self.metrics().job_resumed(&order.resolved().model);
        Ok(())
    }

    /// Ends a generation that cannot be taken up, unless it was cancelled.
    fn give_up(&self, id: Uuid, error: GenerationError) {
        if self.end_waiting(id, Fact::Failed(error.clone()), Outcome::Failed) {
            tracing::warn!(generation = %id, code = error.code.name(), error = error.message, "not taken up");
        }
    }
}

/// What is to be made of it, or why nothing is.
async fn order_again(validator: &Validator, unfinished: Unfinished) -> Result<Order, GenerationError> {
    let Unfinished { request, crashes, .. } = unfinished;
    if crashes >= MOST_CRASHES {
        let message = format!("the server broke down {crashes} times while it worked on this");
        return Err(GenerationError { code: ErrorCode::TooManyCrashes, message });
    }
    let validator = validator.clone();
    match tokio::task::spawn_blocking(move || validator.order(&request, &as_resolved())).await {
        Ok(order) => order.map_err(refused),
        Err(error) => Err(GenerationError { code: ErrorCode::InternalError, message: error.to_string() }),
    }
}

/// The moment of a time in the past; now, where there is none because the clock was set.
fn moment(time: Timestamp) -> Instant {
    let now = Instant::now();
    let age = Duration::try_from(Timestamp::now().duration_since(time)).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

/// The kind of answer matters no more: the request says what came of it.
fn as_resolved() -> Answer {
    Answer { one_image: false, format: ImageFormat::Png, on_disconnect: OnDisconnect::Keep }
}

/// What is wrong with a request that was right once: its model is gone, or the operator's limits are others.
fn refused(errors: Vec<FieldError>) -> GenerationError {
    let code = errors.first().map_or(ErrorCode::InternalError, |error| error.code);
    let message = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>();
    GenerationError { code, message: message.join("; ") }
}
