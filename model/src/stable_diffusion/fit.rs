//! Whether a model's components fit each other.

use super::components::{Components, Kind};

impl Components {
    /// Refuses components that do not fit each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let Components { kind, unet, vae, text_encoders, .. } = self;
        let latents = vae.latent_channels();
        if unet.in_channels != latents && unet.in_channels != 2 * latents + 1 {
            let inputs = unet.in_channels;
            return Err(format!(
                "the unet takes {inputs} channels, neither {latents} nor {} for inpainting",
                2 * latents + 1
            ));
        }
        if unet.out_channels != latents && unet.out_channels != 2 * latents {
            return Err(format!("the unet gives {} channels for latents of {latents}", unet.out_channels));
        }
        if vae.picture_channels() != (3, 3) {
            return Err("the vae is not for RGB pictures".into());
        }
        if self.tiny.as_ref().is_some_and(|tiny| tiny.latent_channels != latents || tiny.scale() != vae.scale()) {
            return Err("taesd is for other latents than the vae".into());
        }
        let hidden: usize = text_encoders.iter().map(|encoder| encoder.clip.hidden_size).sum();
        if let Some(taken) = unet.text_sizes().find(|taken| *taken != hidden) {
            return Err(format!("the unet takes text embeddings of {taken}, the text encoders give {hidden}"));
        }
        for encoder in text_encoders {
            let (tokens, known) = (encoder.tokenizer.vocabulary_size(), encoder.clip.vocab_size);
            if tokens > known {
                return Err(format!("the tokenizer has {tokens} tokens, the text encoder knows {known}"));
            }
            if encoder.tokenizer.length() != text_encoders[0].tokenizer.length() {
                return Err("the tokenizers make ids of different lengths".into());
            }
        }
        if unet.takes_class() {
            return Err("a unet with class embeddings is not supported: its pipeline would have to say which".into());
        }
        match (kind, unet.added) {
            (Kind::StableDiffusion, None) => Ok(()),
            (Kind::StableDiffusion, Some(_)) => {
                Err("the unet takes pooled text, which Stable Diffusion 1 and 2 do not have".into())
            }
            (Kind::StableDiffusionXl { .. }, None) => {
                Err("the unet takes no pooled text (`addition_embed_type`)".into())
            }
            (Kind::StableDiffusionXl { requires_aesthetics_score, .. }, Some(added)) => {
                let pooled = text_encoders.last().map_or(0, |encoder| encoder.clip.projection_dim);
                let given = pooled + added.time_embed_dim * if *requires_aesthetics_score { 5 } else { 6 };
                if added.inputs == given {
                    Ok(())
                } else {
                    Err(format!(
                        "`projection_class_embeddings_input_dim` is {}, but {given} numbers are given",
                        added.inputs
                    ))
                }
            }
        }
    }
}
