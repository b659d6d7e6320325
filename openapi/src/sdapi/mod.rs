//! What AUTOMATIC1111's API says over the wire: the fields that this server honours, and the answers as its clients read them.

mod answer;
mod options;
mod request;

pub use answer::{
    SdapiEmbeddings, SdapiEmpty, SdapiImages, SdapiInfo, SdapiItem, SdapiMemory, SdapiModel, SdapiName,
    SdapiPendingTasks, SdapiPngInfo, SdapiProblem, SdapiProgress, SdapiSampler, SdapiScheduler, SdapiScripts,
    SdapiState, SdapiTaskProgress, SdapiUpscaler,
};
pub use options::SdapiOptions;
pub use request::{SdapiKind, SdapiPngInfoRequest, SdapiProgressRequest, SdapiRequest};
