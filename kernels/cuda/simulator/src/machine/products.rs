//! Matrix instructions of a warpgroup that are under way.

use super::shadow::Watch;
use crate::fault::FaultKind;
use std::collections::HashSet;
use std::sync::Arc;

/// A register that sums are kept in, by its number in the kernel.
pub(crate) type Accumulator = u32;

/// Bytes that a matrix instruction reads at each of its addresses.
pub(crate) const CHUNK: usize = 16;

#[derive(Debug)]
struct Product {
    group: u64,
    accumulators: Arc<[Accumulator]>,
    /// Of the chunks of shared memory that are read.
    addresses: Vec<u32>,
}

/// The matrix instructions of one warp. Sums are in their registers at once, but nothing may look at them before they were waited for.
#[derive(Debug, Default)]
pub(crate) struct Products {
    pending: Vec<Product>,
    committed: u64,
    /// How many were issued.
    issued: usize,
    /// Whether there was a `wgmma.fence`, and which registers were touched since the last one.
    is_fenced: bool,
    touched: HashSet<Accumulator>,
}

impl Products {
    /// `wgmma.fence`: what registers hold is settled.
    pub(crate) fn fence(&mut self) {
        self.is_fenced = true;
        self.touched.clear();
    }

    /// Another instruction reads or writes registers of sums.
    pub(super) fn touch(&mut self, accumulators: &[Accumulator]) -> Result<(), FaultKind> {
        let is_pending = |accumulator| self.pending.iter().any(|product| product.accumulators.contains(accumulator));
        if accumulators.iter().any(is_pending) {
            return Err(FaultKind::Accumulator);
        }
        self.touched.extend(accumulators);
        Ok(())
    }

    /// Begins one, `at` a place in the program. Others may add to the same sums, if they are of the same shape.
    pub(crate) fn begin(
        &mut self,
        at: usize,
        descriptors: [u64; 2],
        accumulators: &Arc<[Accumulator]>,
        addresses: Vec<u32>,
        watch: &Watch,
    ) -> Result<(), FaultKind> {
        watch.issue(self.issued, (at, descriptors))?;
        let mixes = |product: &Product| {
            product.accumulators != *accumulators && accumulators.iter().any(|one| product.accumulators.contains(one))
        };
        if !self.is_fenced
            || accumulators.iter().any(|one| self.touched.contains(one))
            || self.pending.iter().any(mixes)
        {
            return Err(FaultKind::Accumulator);
        }
        watch.begin_read(&addresses, CHUNK)?;
        self.issued += 1;
        self.pending.push(Product { group: self.committed, accumulators: accumulators.clone(), addresses });
        Ok(())
    }

    /// `wgmma.commit_group`
    pub(crate) fn commit(&mut self) {
        self.committed += 1;
    }

    /// `wgmma.wait_group`: ends all groups but the last `pending` that were committed.
    pub(crate) fn wait(&mut self, pending: u64, watch: &Watch) {
        let committed = self.committed;
        self.pending.retain(|product| {
            let is_due = product.group + pending < committed;
            if is_due {
                watch.end_read(&product.addresses, CHUNK);
            }
            !is_due
        });
    }
}
