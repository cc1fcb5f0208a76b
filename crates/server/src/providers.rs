//! The configured model providers, and which of them answers for a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use spool_agent::Provider;
use spool_agent::provider::anthropic::{self, Anthropic, AnthropicOptions};
use spool_agent::provider::demo::{Demo, DemoOptions};
use spool_agent::provider::openai::{self, OpenAi, OpenAiOptions};
use spool_agent::provider::{ApiKey, client};
use spool_chat::ModelChoice;

use crate::config::{self, Config, ProviderKind};

const DEMO: &str = "demo";

pub struct Providers {
    by_name: BTreeMap<String, Arc<dyn Provider>>,
    models: Vec<ModelChoice>,
    default: ModelChoice,
}

impl Providers {
    /// Without any configured provider there is `demo`, which needs no key and no network.
    pub fn new(config: &Config) -> Result<Self> {
        let mut by_name: BTreeMap<String, Arc<dyn Provider>> = BTreeMap::new();
        let mut models = Vec::new();
        for (name, provider) in &config.providers {
            by_name.insert(name.clone(), build(provider).with_context(|| format!("providers.{name}"))?);
            let offered = provider.models.iter().map(|id| ModelChoice {
                id: id.clone(),
                provider: name.clone(),
                is_default: false,
            });
            models.extend(offered);
        }
        if by_name.is_empty() {
            by_name.insert(DEMO.into(), Arc::new(Demo::default()));
        }
        if by_name.contains_key(DEMO) && !models.iter().any(|model| model.provider == DEMO) {
            models.push(ModelChoice { id: DEMO.into(), provider: DEMO.into(), is_default: false });
        }
        let default = default_model(config, &by_name, &models)?;
        models.retain(|model| model.id != default.id || model.provider != default.provider);
        models.insert(0, default.clone());
        Ok(Self { by_name, models, default })
    }

    pub fn models(&self) -> Vec<ModelChoice> {
        self.models.clone()
    }

    pub fn default_model(&self) -> &ModelChoice {
        &self.default
    }

    pub fn is_demo_only(&self) -> bool {
        self.by_name.len() == 1 && self.by_name.contains_key(DEMO)
    }

    /// The provider of a model and the model's name there: `provider/model`, a listed model, or a name
    /// that the default model's provider may know.
    pub fn find(&self, model: &str) -> (String, Arc<dyn Provider>, String) {
        if let Some((name, rest)) = model.split_once('/')
            && let Some(provider) = self.by_name.get(name)
        {
            return (name.to_owned(), Arc::clone(provider), rest.to_owned());
        }
        let listed = self.models.iter().find(|known| known.id == model);
        let name = listed.map_or(&self.default.provider, |known| &known.provider);
        let provider = self.by_name.get(name).or_else(|| self.by_name.values().next());
        let provider = provider.map_or_else(|| Arc::new(Demo::default()) as Arc<dyn Provider>, Arc::clone);
        (name.clone(), provider, model.to_owned())
    }
}

fn build(provider: &config::Provider) -> Result<Arc<dyn Provider>> {
    let key = provider.api_key.as_deref().and_then(ApiKey::new);
    let base_url = |default: &str| provider.base_url.clone().unwrap_or_else(|| default.to_owned());
    Ok(match provider.kind {
        ProviderKind::OpenAi => {
            let options = OpenAiOptions { base_url: base_url(openai::DEFAULT_BASE_URL), key };
            Arc::new(OpenAi::new(client().map_err(plain)?, options).map_err(plain)?)
        }
        ProviderKind::Anthropic => {
            let options = AnthropicOptions { base_url: base_url(anthropic::DEFAULT_BASE_URL), key };
            Arc::new(Anthropic::new(client().map_err(plain)?, options).map_err(plain)?)
        }
        ProviderKind::Demo => {
            let words_per_second = provider.words_per_second.unwrap_or(DemoOptions::default().words_per_second);
            Arc::new(Demo::new(DemoOptions { words_per_second }))
        }
    })
}

fn plain(failure: spool_agent::Failure) -> anyhow::Error {
    anyhow::anyhow!(failure.message)
}

fn default_model(
    config: &Config, by_name: &BTreeMap<String, Arc<dyn Provider>>, models: &[ModelChoice],
) -> Result<ModelChoice> {
    let model =
        |id: &str, provider: &str| ModelChoice { id: id.to_owned(), provider: provider.to_owned(), is_default: true };
    let Some(wanted) = &config.model else {
        return match models.first() {
            Some(first) => Ok(model(&first.id, &first.provider)),
            None => bail!("model: a provider is configured but no model; set SPOOL_MODEL, or `models` of the provider"),
        };
    };
    if let Some((name, rest)) = wanted.split_once('/')
        && by_name.contains_key(name)
    {
        return Ok(model(rest, name));
    }
    if let Some(known) = models.iter().find(|known| known.id == *wanted) {
        return Ok(model(&known.id, &known.provider));
    }
    if by_name.keys().all(|name| name == DEMO) {
        bail!(
            "model: \"{wanted}\" needs a provider and none is configured; set OPENAI_API_KEY, OPENAI_BASE_URL or \
             ANTHROPIC_API_KEY, or a [providers.…] section"
        );
    }
    // Anthropic's names say whose they are; any other name is for the OpenAI-compatible endpoint.
    let guess = if wanted.starts_with("claude") { "anthropic" } else { "openai" };
    let name = by_name.get_key_value(guess).or_else(|| by_name.iter().next()).map(|(name, _)| name.as_str());
    Ok(model(wanted, name.unwrap_or(DEMO)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(toml: &str) -> Result<Providers> {
        Providers::new(&toml::from_str(toml).unwrap())
    }

    #[test]
    fn without_configuration_the_demo_answers_everything() {
        let providers = providers("").unwrap();
        assert!(providers.is_demo_only());
        assert_eq!(providers.default_model().id, "demo");
        assert_eq!(providers.find("whatever").0, "demo");
        let error = super::tests::providers("model = \"gpt-5\"").err().unwrap();
        assert!(error.to_string().contains("gpt-5"));
    }

    #[test]
    fn ag_07_a_model_finds_its_provider_by_prefix_by_list_or_by_default() {
        let toml = r#"
            model = "small"
            [providers.local]
            kind = "openai"
            base_url = "http://127.0.0.1:1/v1"
            models = ["small"]
            [providers.cloud]
            kind = "anthropic"
            api_key = "k"
            models = ["claude-x"]
        "#;
        let providers = providers(toml).unwrap();
        let of = |model: &str| {
            let (name, _, model) = providers.find(model);
            (name, model)
        };
        assert_eq!(of("cloud/claude-y"), ("cloud".into(), "claude-y".into()));
        assert_eq!(of("claude-x"), ("cloud".into(), "claude-x".into()));
        assert_eq!(of("other"), ("local".into(), "other".into()));
        assert_eq!(providers.models()[0].id, "small");
    }

    #[test]
    fn a_provider_without_any_model_is_a_named_mistake() {
        let error = providers("[providers.x]\nkind = \"openai\"").err().unwrap();
        assert!(error.to_string().contains("SPOOL_MODEL"));
    }
}
