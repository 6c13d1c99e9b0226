/**
 * The checks of the options of replicas and executors.
 *
 * @module
 */

import { checkConfiguration, type StateMachine } from "../state/mod.ts";
import { purgeChecks, type PurgeOptions } from "./purge.ts";
import {
  able,
  checkBoolean,
  checkFunction,
  checkIndex,
  checkOptions,
  type Checks,
  checkSignal,
  checkTimeout,
  duration,
  has,
  integer,
  listOf,
  number,
  oneOf,
  required,
  withMembers,
} from "../checks.ts";
import { checkGroup, checkStorage, checkVerifier, limitChecks, type SnapshotLimits } from "../snapshot/mod.ts";
import { checkSource, livePushChecks, pullChecks } from "../transfer/client/mod.ts";
import type { ReplicaPushOptions } from "./live.ts";
import { checkMachine } from "./machine_checks.ts";
import type { ExecutorContext, ExecutorOptions, SnapshotOptions } from "./options.ts";
import type { InstallOptions } from "./receivers.ts";
import type { ReplicaOptions } from "./replica_options.ts";
import type { RetryOptions, TriggerOptions } from "./triggers.ts";

/** Checks the options of a replica. */
export function checkReplicaOptions<M extends StateMachine>(options: ReplicaOptions<M>): ReplicaOptions<M> {
  return checkOptions<ReplicaOptions<M>>(options, {
    ...executorChecks(),
    machine: required(checkMachine),
    log: required(checkLog),
    storage: required(checkStorage),
    group: checkGroup,
    verifier: checkVerifier,
    configuration: checkConfiguration,
    term: checkIndex,
    followers: listOf(required(checkSource)),
    onNotification: checkFunction,
    signal: checkSignal,
  });
}

/** Checks the surroundings of an executor. */
export function checkContext(context: ExecutorContext): ExecutorContext {
  return checkOptions(context, {
    fsm: required(able("an FsmCaller", "exclusive", "prepare", "replace", "listen")),
    storage: required(checkStorage),
    log: required(checkLog),
    held: checkFunction,
    followers: checkFunction,
    beginning: () => {},
  }, "context");
}

/** The checks of an executor's options. */
export function executorChecks(): Checks<ExecutorOptions> {
  return {
    triggers: withMembers<TriggerOptions>({
      interval: duration(),
      jitter: number(0, 1),
      entries: number(0),
      logBytes: number(0),
      logFactor: number(0),
      gap: number(0),
      onClose: checkBoolean,
    }),
    retry: withMembers<RetryOptions>({ initial: duration(), max: duration() }),
    purge: withMembers<PurgeOptions>(purgeChecks()),
    saveTimeout: checkTimeout,
    stallTimeout: checkTimeout,
    whileSaving: oneOf("wait", "cancel"),
    clock: able("a Clock", "now", "monotonic", "after"),
    onEvent: checkFunction,
  };
}

/** Checks the options of a snapshot. */
export function checkSnapshotOptions(options: SnapshotOptions): SnapshotOptions {
  return checkOptions(options, {
    gap: number(0),
    signal: checkSignal,
    whileSaving: oneOf("join", "refuse"),
    createdAt: integer(0),
  });
}

/** Checks the options of an install. */
export function checkInstallOptions(options: InstallOptions): InstallOptions {
  const { onManifest: _, ...checks } = pullChecks();
  return checkOptions(options, { ...checks, limits: withMembers<SnapshotLimits>(limitChecks()) });
}

/** Checks the options of a live push. */
export function checkPushOptions(options: ReplicaPushOptions): ReplicaPushOptions {
  return checkOptions(options, { ...livePushChecks(), through: checkFunction });
}

function checkLog(value: unknown, what: string): void {
  if (has(value, "follow", "function")) {
    able("a SharedLog", "refresh", "propose", "term", "purge", "close")(value, what);
  } else able("a LogStorage", "append", "entries", "term", "purge", "reset", "close")(value, what);
}
