//! An artifact: drafted, judged, and in the end put away. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::Result;

use super::illegal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactStatus {
    Draft,
    Approved,
    Rejected,
    /// Another artifact took its place.
    Superseded,
    Archived,
}

/// What can happen to an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArtifactStep {
    Set(ArtifactStatus),
    /// New content: what was approved is a draft again, in a new version.
    Edit,
}

impl ArtifactStatus {
    pub const ALL: [Self; 5] = [Self::Draft, Self::Approved, Self::Rejected, Self::Superseded, Self::Archived];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
            Self::Archived => "archived",
        }
    }

    /// The state after `step`, or `invalid_transition`.
    pub fn step(self, step: ArtifactStep) -> Result<Self> {
        use ArtifactStatus::{Approved, Archived, Draft, Rejected, Superseded};
        match (self, step) {
            (Draft | Approved, ArtifactStep::Edit) => Ok(Draft),
            (Draft, ArtifactStep::Set(to @ (Approved | Rejected | Superseded | Archived)))
            | (Approved, ArtifactStep::Set(to @ (Superseded | Archived)))
            | (Rejected, ArtifactStep::Set(to @ Archived)) => Ok(to),
            _ => Err(illegal("artifact", self.as_str(), step.name())),
        }
    }
}

impl ArtifactStep {
    fn name(self) -> &'static str {
        match self {
            Self::Set(ArtifactStatus::Draft) => "become a draft",
            Self::Set(ArtifactStatus::Approved) => "be approved",
            Self::Set(ArtifactStatus::Rejected) => "be rejected",
            Self::Set(ArtifactStatus::Superseded) => "be superseded",
            Self::Set(ArtifactStatus::Archived) => "be archived",
            Self::Edit => "be edited",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ar_03_only_the_drawn_steps_are_legal() {
        let drawn = [
            ("draft", "approved"),
            ("draft", "rejected"),
            ("draft", "superseded"),
            ("draft", "archived"),
            ("approved", "superseded"),
            ("approved", "archived"),
            ("rejected", "archived"),
        ];
        for from in ArtifactStatus::ALL {
            for to in ArtifactStatus::ALL {
                let legal = drawn.contains(&(from.as_str(), to.as_str()));
                assert_eq!(from.step(ArtifactStep::Set(to)).is_ok(), legal, "{from:?} -> {to:?}");
            }
            let editable = matches!(from, ArtifactStatus::Draft | ArtifactStatus::Approved);
            assert_eq!(from.step(ArtifactStep::Edit).ok(), editable.then_some(ArtifactStatus::Draft), "{from:?}");
        }
    }
}
