//! Calls of the network as graphs of a CUDA device.

use candle_core::{Result, Tensor};
use x0_kernels::Graph;

use super::UNet2DConditionModel;
use super::condition::{Condition, Identity, KeysValues, Rows};
use crate::graphs::{Graphs, bucket};

/// Inputs of a graph before the keys and values: the sample and the time embedding.
const BEFORE: usize = 2;

/// The calls that were recorded. Each remembers whose keys and values its rows hold: they change when an image joins or leaves.
#[derive(Debug, Default)]
pub(super) struct Recorded(Graphs<Vec<Option<Identity>>>);

impl Recorded {
    /// What the network's body says about the rows, by the graph for as many rows or a few more.
    pub(super) fn call(
        &self,
        network: &UNet2DConditionModel,
        sample: &Tensor,
        time: &Tensor,
        conditions: &[&Condition],
    ) -> Result<Tensor> {
        let rows = conditions.len();
        let Some(first) = conditions.first() else { candle_core::bail!("a call without rows") };
        let keys_values = first.keys_values.iter().flat_map(|kv| [&kv.keys, &kv.values]);
        let tensors: Vec<&Tensor> = [sample, time].into_iter().chain(keys_values).collect();
        let compute = |inputs: &[Tensor]| {
            let pairs = inputs[BEFORE..].as_chunks().0.iter();
            let pairs = pairs.map(|[keys, values]| KeysValues { keys: keys.clone(), values: values.clone() });
            network.body(&inputs[0], &inputs[1], &Rows::Gathered(&pairs.collect::<Vec<_>>()))
        };
        self.0.with(&network.placement, rows, &tensors, compute, |graph, held| {
            held.resize(bucket(rows), None);
            for (row, condition) in conditions.iter().enumerate() {
                if held[row] != Some(condition.identity) {
                    // Not held until all of it is there.
                    held[row] = None;
                    place(graph, row, condition)?;
                    held[row] = Some(condition.identity);
                }
            }
            graph.set(0, 0, sample)?;
            graph.set(1, 0, time)?;
            graph.run()?.narrow(0, 0, rows)
        })
    }
}

/// Writes a condition's keys and values to a row.
fn place(graph: &mut Graph, row: usize, condition: &Condition) -> Result<()> {
    for (i, KeysValues { keys, values }) in condition.keys_values.iter().enumerate() {
        graph.set(BEFORE + 2 * i, row, keys)?;
        graph.set(BEFORE + 2 * i + 1, row, values)?;
    }
    Ok(())
}
