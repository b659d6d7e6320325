//! Who was served how much: fair shares between tenants, and the share of the oldest job within each.
//!
//! Seconds are the currency. A call is paid by the tenant whose turn it is, that of the first image of the batch; who rides along
//! rides free, for the rule of [`batch`](super::batch) lets nobody along who costs more than those waiting gain. Admitting,
//! previews and decoding are paid by whom they are done for.
//!
//! **Between tenants.** Fair time *v* runs at `1/A` of the seconds spent, `A` being the tenants that have jobs: it is what each of
//! them would have received under equal sharing. `S` is what a tenant did receive. Its next job, of `q` seconds, would under equal
//! sharing be done when *v* reaches `S + q`, the virtual finish of weighted fair queueing (Demers, Keshav and Shenker, 1989). Once
//! it is, the job is *late*, and late jobs go first, the earliest virtual finish before the others. Until then the order is free to
//! be better than fair. A tenant that leaves owing keeps its debt until *v* has caught up. One that leaves behind *v* is as far
//! behind when it comes back, and no further: who waits for each answer before he asks again has no less than his share, and time
//! away earns nothing. But it is owed no more than it received while it was here, so that nothing comes of asking and not taking.
//!
//! **Within a tenant** the oldest job has a claim to [`ELDEST_SHARE`] of what its tenant receives. Once the claim is worth a step,
//! the oldest takes the tenant's next turn, and once it is worth decoding a picture, and one of the oldest is done, that is the
//! tenant's next to be decoded.
//!
//! **Bound.** Let `q` be the longest job, in seconds, `c` the longest call with the decoding of its pictures, and let no call take
//! longer than `k` times what its first image would take alone (`k` is 1 where nothing is shared). When a job turns late, no tenant
//! is behind fair time by more than `q`; until it is its turn, those with an earlier virtual finish receive at most `q + c` each
//! beyond that; so no tenant is ever behind by more than `2q + c`. (The first `q` is the most that anybody was owed on coming back,
//! where that is more.) The oldest job gets a step, or has a picture decoded, whenever its tenant has received the seconds of that
//! divided by the share. So a job is done when its tenant has received `(B + c) / ELDEST_SHARE + kB`, `B` being the seconds of work
//! in this job and in its tenant's older ones, and it ends, as long as slots are free, within
//!
//! ```text
//! A · ((B + c) / ELDEST_SHARE + k·B + 2q + c)   seconds.
//! ```

use std::collections::BTreeMap;

use crate::Tenant;

/// The part of a tenant's seconds to which its oldest job has a claim.
pub(super) const ELDEST_SHARE: f64 = 0.1;

/// Tenants without jobs of whom is remembered what they owe or are owed.
const MAX_REMEMBERED: usize = 1_024;

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// What each tenant would have received, had all been served alike.
    fair: f64,
    accounts: BTreeMap<Tenant, Account>,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    jobs: u32,
    /// Seconds received, counted from the fair time at which the tenant came.
    received: f64,
    /// What `received` was when the tenant came.
    at_first: f64,
    /// While the tenant has no job: how far it was behind fair time when the last one went.
    owed: f64,
    /// Seconds that the tenant's oldest job has a claim to.
    credit: f64,
}

impl Ledger {
    /// A job of the tenant came.
    pub(super) fn join(&mut self, tenant: Tenant) {
        let fair = self.fair;
        let new = Account { jobs: 0, received: fair, at_first: fair, owed: 0.0, credit: 0.0 };
        let account = self.accounts.entry(tenant).or_insert(new);
        if account.jobs == 0 {
            let received = account.received.max(fair - account.owed);
            *account = Account { received, at_first: received, ..new };
        }
        account.jobs += 1;
    }

    /// A job of the tenant went.
    pub(super) fn leave(&mut self, tenant: Tenant) {
        let fair = self.fair;
        if let Some(account) = self.accounts.get_mut(&tenant) {
            account.jobs -= 1;
            account.owed = (fair - account.received).clamp(0.0, account.received - account.at_first);
        }
        // What is to be remembered of a tenant without jobs.
        let open = |account: &Account| account.owed.max(account.received - fair);
        self.accounts.retain(|_, account| account.jobs > 0 || open(account) > 0.0);
        let remembered = self.accounts.iter().filter(|(_, account)| account.jobs == 0);
        if remembered.clone().count() > MAX_REMEMBERED
            && let Some(least) = remembered.min_by(|(_, a), (_, b)| open(a).total_cmp(&open(b))).map(|(t, _)| *t)
        {
            self.accounts.remove(&least);
        }
    }

    /// The tenant's turn took so many seconds, and went to its oldest job or to another.
    pub(super) fn charge(&mut self, tenant: Tenant, eldest: bool, seconds: f64) {
        let active = self.accounts.values().filter(|account| account.jobs > 0).count();
        self.fair += seconds / active.max(1) as f64;
        if let Some(account) = self.accounts.get_mut(&tenant) {
            account.received += seconds;
            let claim = account.credit + ELDEST_SHARE * seconds - if eldest { seconds } else { 0.0 };
            account.credit = claim.max(0.0);
        }
    }

    pub(super) fn fair(&self) -> f64 {
        self.fair
    }

    pub(super) fn received(&self, tenant: Tenant) -> f64 {
        self.accounts.get(&tenant).map_or(self.fair, |account| account.received)
    }

    pub(super) fn credit(&self, tenant: Tenant) -> f64 {
        self.accounts.get(&tenant).map_or(0.0, |account| account.credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Tenant = Tenant(1);
    const B: Tenant = Tenant(2);

    fn behind(ledger: &Ledger, tenant: Tenant) -> f64 {
        ledger.fair() - ledger.received(tenant)
    }

    #[test]
    fn a_tenant_alone_is_never_behind() {
        let mut ledger = Ledger::default();
        ledger.join(A);
        ledger.charge(A, false, 3.0);
        assert_eq!(behind(&ledger, A), 0.0);
    }

    #[test]
    fn who_is_passed_over_falls_behind_by_half() {
        let mut ledger = Ledger::default();
        ledger.join(A);
        ledger.join(B);
        ledger.charge(A, false, 4.0);
        assert_eq!((behind(&ledger, A), behind(&ledger, B)), (-2.0, 2.0));
    }

    #[test]
    fn leaving_and_coming_back_forgives_no_debt_and_earns_no_credit() {
        let mut ledger = Ledger::default();
        ledger.join(A);
        ledger.join(B);
        ledger.charge(A, false, 4.0);
        ledger.leave(A);
        ledger.join(A);
        assert_eq!((behind(&ledger, A), behind(&ledger, B)), (-2.0, 2.0));
        ledger.leave(B);
        ledger.join(B);
        assert_eq!(behind(&ledger, B), 0.0);
    }

    #[test]
    fn who_comes_back_is_owed_what_he_was_and_no_more_than_he_had_received() {
        let mut ledger = Ledger::default();
        ledger.join(A);
        ledger.join(B);
        ledger.charge(A, false, 8.0);
        ledger.charge(B, false, 3.0);
        assert_eq!(behind(&ledger, B), 2.5);
        for _ in 0..2 {
            ledger.leave(B);
            ledger.charge(A, false, 50.0);
            ledger.join(B);
            assert_eq!(behind(&ledger, B), 2.5);
            ledger.charge(A, false, 8.0);
            ledger.charge(B, false, 3.0);
            ledger.charge(B, false, 5.0);
        }
        ledger.charge(A, false, 40.0);
        ledger.charge(B, false, 1.0);
        ledger.leave(B);
        ledger.join(B);
        assert_eq!(behind(&ledger, B), 9.0);
    }

    #[test]
    fn the_oldest_job_earns_its_share_and_never_owes() {
        let mut ledger = Ledger::default();
        ledger.join(A);
        ledger.charge(A, true, 5.0);
        assert_eq!(ledger.credit(A), 0.0);
        ledger.charge(A, false, 10.0);
        assert!((ledger.credit(A) - 10.0 * ELDEST_SHARE).abs() < 1e-12);
    }

    #[test]
    fn who_is_remembered_is_bounded() {
        let mut ledger = Ledger::default();
        ledger.join(A);
        for n in 0..5_000 {
            let tenant = Tenant(100 + n);
            ledger.join(tenant);
            ledger.charge(tenant, false, 1.0 + n as f64 * 1e4);
            ledger.leave(tenant);
            let tenant = Tenant(10_000 + n);
            ledger.join(tenant);
            ledger.charge(tenant, false, 1.0);
            ledger.charge(A, false, 9.0);
            ledger.leave(tenant);
        }
        assert!(ledger.accounts.len() <= MAX_REMEMBERED + 1);
    }
}
