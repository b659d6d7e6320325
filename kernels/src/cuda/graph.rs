//! Many launches as one.
//!
//! Starting a kernel takes the processor a few microseconds, and a step of a network has several hundred. A graph is started once.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaGraph, sys};
use candle_core::{Result, Tensor, bail};

use super::run::device;

/// A computation on tensors of fixed shapes that is started as a whole, as often as wanted, on whatever its inputs hold then.
pub struct Graph {
    /// Declared before what it reads and writes, so that it goes first.
    graph: CudaGraph,
    inputs: Vec<Tensor>,
    output: Tensor,
}

// SAFETY: a graph may be used by one thread at a time, wherever it was made, and `&mut self` is needed to start it.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `compute` does with `inputs`, which are tensors of nobody else. It is called twice: once to load the kernels that it
    /// needs, and once to be recorded. It may wait for nothing, and let go of no tensor that is older than the call.
    ///
    /// # Errors
    /// If `compute` fails, or the device's memory does not suffice.
    pub fn record(inputs: Vec<Tensor>, compute: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Self> {
        let Some(first) = inputs.first() else { bail!("a graph needs an input") };
        let device = device(first)?;
        let stream = device.cuda_stream();
        // Where candle uploads the sizes of a tensor for one of its own kernels, it keeps them for the second call.
        let _uploads_are_kept = device.enable_cuda_graph_htod_cache();
        let output = {
            let result = compute(&inputs)?;
            let output = result.zeros_like()?;
            output.slice_set(&result, 0, 0)?;
            output
        };
        stream.synchronize().w()?;
        stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).w()?;
        let recorded = compute(&inputs).and_then(|result| output.slice_set(&result, 0, 0));
        // Whatever went wrong, the stream must not be left recording.
        let graph =
            stream.end_capture(sys::CUgraphInstantiate_flags_enum::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
        recorded?;
        let Some(graph) = graph.w()? else { bail!("nothing was recorded") };
        graph.upload().w()?;
        Ok(Self { graph, inputs, output })
    }

    /// Writes rows of an input, from row `first` on.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn set(&mut self, input: usize, first: usize, rows: &Tensor) -> Result<()> {
        self.inputs[input].slice_set(&rows.contiguous()?, 0, first)
    }

    /// Starts the computation. The answer is overwritten by the next one.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run(&mut self) -> Result<Tensor> {
        self.graph.launch().w()?;
        Ok(self.output.clone())
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("output", &self.output.shape()).finish_non_exhaustive()
    }
}
