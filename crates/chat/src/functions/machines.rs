//! Machines of a user: made, listed, removed with their workers.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Error, Result};
use spool_store::{Id, Tx};

use super::{Nothing, workers};
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::states::WorkerApproval;
use crate::tables::{Machine, MachineView, Presence, Worker, WorkerCounts, machine, worker};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub name: String,
}

/// `machines:create`
pub fn create(tx: &mut Tx<'_>, ctx: &CallContext, args: Create) -> Result<Id<Machine>> {
    let user = ctx.user()?.clone();
    check_bytes("name", &args.name, limits::NAME_BYTES)?;
    if args.name.trim().is_empty() {
        return Err(Error::bad_request("name: must not be blank").with("path", "name"));
    }
    let count = tx.query::<Machine>(machine::BY_USER).eq(&user).take(limits::MACHINES)?.len();
    check_count("machines", count + 1, limits::MACHINES)?;
    let now = tx.now();
    let machine =
        Machine { id: tx.new_id(), creation_time: now as f64, user_id: user, name: args.name, created_at: now };
    tx.put(&machine)?;
    Ok(machine.id)
}

/// `machines:list`: oldest first.
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Vec<MachineView>> {
    let user = ctx.user()?.clone();
    let machines = tx.query::<Machine>(machine::BY_USER).eq(&user).take(limits::MACHINES)?;
    let mut views = Vec::with_capacity(machines.len());
    for machine in machines {
        let counts = count(tx, &machine.id)?;
        views.push(MachineView::new(machine, counts));
    }
    Ok(views)
}

fn count(tx: &mut Tx<'_>, machine: &Id<Machine>) -> Result<WorkerCounts> {
    let now = tx.now();
    let mut counts = WorkerCounts::default();
    for worker in tx.query::<Worker>(worker::BY_MACHINE).eq(machine).take(limits::MACHINE_WORKERS)? {
        let counted = match (worker.approval, worker.presence(now)) {
            (WorkerApproval::Pending, _) => &mut counts.pending,
            (WorkerApproval::Revoked, _) => &mut counts.revoked,
            (WorkerApproval::Approved, Presence::Online) => &mut counts.online,
            (WorkerApproval::Approved, Presence::Offline) => &mut counts.offline,
        };
        *counted += 1;
    }
    Ok(counts)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub machine_id: Id<Machine>,
}

/// `machines:remove`: its workers go with it; threads that they answered in stay.
pub fn remove(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let machine = owned::machine(tx, &ctx.principal, &args.machine_id)?;
    for worker in tx.query::<Worker>(worker::BY_MACHINE).eq(&machine.id).take(limits::MACHINE_WORKERS)? {
        workers::remove_row(tx, ctx, worker)?;
    }
    tx.delete(&machine.id).map(drop)
}
