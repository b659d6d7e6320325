//! Spans for an OpenTelemetry collector, where the program was built with the feature `otlp`.

#[cfg(feature = "otlp")]
pub use with::{Exporter, adopt};
#[cfg(not(feature = "otlp"))]
pub use without::{Exporter, adopt};

#[cfg(feature = "otlp")]
mod with {
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
    };
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{Span, Subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    use tracing_subscriber::Layer;
    use tracing_subscriber::registry::LookupSpan;

    use crate::config::LogArgs;
    use crate::telemetry::TraceParent;

    /// Sends spans, on a thread of its own; what is left when it is dropped, too.
    #[derive(Debug)]
    pub struct Exporter(Option<SdkTracerProvider>);

    impl Exporter {
        /// # Errors
        /// If the endpoint is no address.
        pub fn new(args: &LogArgs) -> Result<Self, String> {
            let Some(endpoint) = &args.otlp_endpoint else { return Ok(Self(None)) };
            let address = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
            let exporter = SpanExporter::builder().with_http().with_endpoint(address).build();
            let resource = Resource::builder()
                .with_service_name("x0")
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build();
            let provider = SdkTracerProvider::builder()
                .with_batch_exporter(exporter.map_err(|error| error.to_string())?)
                .with_resource(resource)
                .build();
            Ok(Self(Some(provider)))
        }

        pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> Option<impl Layer<S> + use<S>> {
            let provider = self.0.as_ref()?;
            Some(tracing_opentelemetry::layer().with_tracer(provider.tracer("x0")))
        }
    }

    impl Drop for Exporter {
        fn drop(&mut self) {
            if let Some(provider) = self.0.take()
                && let Err(error) = provider.shutdown()
            {
                tracing::warn!(%error, "the last spans could not be sent");
            }
        }
    }

    /// Makes a span the child of another, and tells what it is called; `None` when spans are not exported.
    pub fn adopt(span: &Span, parent: Option<TraceParent>) -> Option<TraceParent> {
        if let Some(TraceParent { trace_id, span_id, sampled }) = parent {
            let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
            let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
            let remote = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
            // It fails only when nobody exports spans.
            let _ = span.set_parent(Context::new().with_remote_span_context(remote));
        }
        let context = span.context();
        let own = context.span().span_context().clone();
        own.is_valid().then(|| TraceParent {
            trace_id: own.trace_id().to_bytes(),
            span_id: own.span_id().to_bytes(),
            sampled: own.is_sampled(),
        })
    }
}

#[cfg(not(feature = "otlp"))]
mod without {
    use tracing::Span;
    use tracing_subscriber::layer::Identity;

    use crate::config::LogArgs;
    use crate::telemetry::TraceParent;

    /// Sends no spans.
    #[derive(Debug)]
    pub struct Exporter(());

    impl Exporter {
        /// # Errors
        /// Never: there is nothing to be done.
        pub fn new(_: &LogArgs) -> Result<Self, String> {
            Ok(Self(()))
        }

        pub fn layer(&self) -> Identity {
            Identity::new()
        }
    }

    /// What the span is called where spans are exported: nowhere.
    pub fn adopt(_: &Span, _: Option<TraceParent>) -> Option<TraceParent> {
        None
    }
}
