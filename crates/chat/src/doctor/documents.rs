//! The invariants of artifacts and of what else belongs to a run: texts that are being written, lists of what is
//! to be done, runtime sessions.

use spool_protocol::Result;
use spool_store::{Order, Tx};

use super::Findings;
use crate::states::Phase;
use crate::tables::{Artifact, ArtifactDraft, ArtifactVersion, RuntimeSession, Todos, artifact, draft};

pub(super) fn artifact(tx: &mut Tx<'_>, row: &Artifact, findings: &mut Findings<'_>) -> Result<()> {
    let thread = tx.get(&row.thread_id)?;
    findings.expect(thread.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    // The purge of a removed thread takes the versions and drafts first.
    if thread.is_none_or(|thread| thread.deleted_at.is_some()) {
        return Ok(());
    }
    let count = tx.query::<ArtifactVersion>(artifact::VERSION_BY_ARTIFACT).eq(&row.id).count()?;
    findings.expect(count == row.version, "versions", || format!("version is {}, there are {count}", row.version));
    let newest = tx.query::<ArtifactVersion>(artifact::VERSION_BY_ARTIFACT).eq(&row.id).order(Order::Desc).first()?;
    let newest = newest.map(|newest| (newest.version, newest.status));
    let fits = newest == Some((row.version, row.status)) || (newest.is_none() && row.version == 0);
    findings.expect(fits, "newest_version", || "the newest version is in another state".to_owned());
    let draft = tx.query::<ArtifactDraft>(draft::BY_ARTIFACT).eq(&row.id).first()?.map(|draft| draft.version);
    let next = draft.is_none_or(|version| version == row.version + 1) && (draft.is_some() || row.version > 0);
    findings.expect(row.writing == draft && next, "writing", || {
        format!("version is {}, writing is {:?}, the draft is of {draft:?}", row.version, row.writing)
    });
    Ok(())
}

pub(super) fn draft(tx: &mut Tx<'_>, row: &ArtifactDraft, findings: &mut Findings<'_>) -> Result<()> {
    let artifact = tx.get(&row.artifact_id)?.filter(|artifact| artifact.thread_id == row.thread_id);
    findings.expect(artifact.is_some(), "draft_artifact", || format!("{} is missing", row.artifact_id));
    let writer = row.generation_id.as_ref().map(|id| tx.get(id)).transpose()?;
    let at_work = writer.is_none_or(|writer| writer.is_some_and(|writer| !writer.status.is_terminal()));
    findings.expect(at_work, "draft_writer", || "the answer that writes it is over".to_owned());
    let mut at = 0;
    for chunk in tx.log_read_all(row.id.as_str())? {
        let fits = chunk.start == at && chunk.end == at + chunk.data.len() as u64;
        findings.expect(fits, "draft_contiguous", || format!("a chunk {}..{} stands at {at}", chunk.start, chunk.end));
        at = chunk.end;
    }
    let log = tx.log_end(row.id.as_str())?;
    findings.expect(!log.sealed && log.end == at, "draft_log", || format!("the log ends at {}, not {at}", log.end));
    Ok(())
}

pub(super) fn todos(tx: &mut Tx<'_>, row: &Todos, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.thread_id)?.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    findings.expect(row.version > 0, "todos_version", || "a list that was written has a version".to_owned());
    Ok(())
}

pub(super) fn session(tx: &mut Tx<'_>, row: &RuntimeSession, findings: &mut Findings<'_>) -> Result<()> {
    let thread = tx.get(&row.thread_id)?;
    findings.expect(thread.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let open = (!row.status.is_over()).then_some(&row.thread_id);
    findings.expect(row.open_in.as_ref() == open, "session_open", || {
        format!("openIn does not go with {}", row.status.as_str())
    });
    let plan = row.plan_artifact_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
    let known = plan.is_some_and(|plan| plan.thread_id == row.thread_id && row.plan_version <= Some(plan.version));
    let needs = matches!(row.phase, Some(Phase::AwaitingApproval | Phase::Executing | Phase::Done));
    findings.expect(known || !needs, "session_plan", || "the run has no plan, and is past planning".to_owned());
    Ok(())
}
