// Queries. Each reads the exporter's own series and no recording rule, so that a
// dashboard works where no rules are loaded.

/** The series of the exporters that the variables choose. */
const exporters = 'job=~"$job",location=~"$location"';
/** The series of the targets that they choose. */
const targets = `${exporters},target=~"$target"`;
/** The series of the pairs, modules on targets, that they choose. */
const pairs = `${targets},module=~"$module"`;

function braces(matchers: string, more: string): string {
  return `{${matchers}${more && ','}${more}}`;
}

/** A series of an exporter. */
export function ofExporter(metric: string, more = ''): string {
  return metric + braces(exporters, more);
}

/** A series of a target. */
export function ofTarget(metric: string, more = ''): string {
  return metric + braces(targets, more);
}

/** A series of a pair. */
export function ofPair(metric: string, more = ''): string {
  return metric + braces(pairs, more);
}

/** The window of rates in graphs. */
export const window = '[$__rate_interval]';
/** The whole time that the dashboard shows, for queries of one value. */
export const range = '[$__range]';

/** What most tables have a row for. */
export const place = 'environment, target, location';

/**
 * What tells exporters apart. Agents at several locations can have one job and
 * instance, localhost; and two agents can write the same series, each with a label of
 * its own.
 */
export const exporter = 'job, instance, location';

/** A module on a target at a location. */
export const pairAt = 'target, module, location';

/** The seconds until the time that a series says; below 0: since. */
export function until(series: string, by: string): string {
  return `min by (${by}) (${series}) - time()`;
}

/** A histogram, and how its series are chosen. */
export interface Histogram {
  metric: string;
  of: (metric: string, more?: string) => string;
}

/** One that is drawn as a heatmap: its classic bounds in seconds, without the last. */
export interface Bounded extends Histogram {
  bounds: number[];
}

export const run: Histogram = {
  metric: 'acme_probe_duration_seconds',
  of: ofPair,
};
export const step: Bounded = {
  metric: 'acme_step_duration_seconds',
  of: ofPair,
  bounds: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 45, 90],
};
export const request: Bounded = {
  metric: 'acme_request_duration_seconds',
  of: ofPair,
  bounds: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
};
export const connection: Histogram = {
  metric: 'acme_connection_duration_seconds',
  of: ofTarget,
};
export const firstRequest: Histogram = {
  metric: 'acme_validation_first_request_delay_seconds',
  of: ofPair,
};
export const spread: Histogram = {
  metric: 'acme_validation_spread_seconds',
  of: ofPair,
};

export const revocation: Histogram = {
  metric: 'acme_revocation_propagation_seconds',
  of: ofPair,
};

/**
 * A quantile from native histograms, and where a location has none from classic
 * ones. That is decided for each location, so `by` must have it: one location
 * with native histograms would hide all others otherwise.
 */
export function quantile(q: number, h: Histogram, by: string, more = '', over = window): string {
  return `(
  histogram_quantile(${q}, sum by (${by}) (rate(${h.of(h.metric, more)}${over})))
  or
  histogram_quantile(${q}, sum by (${by}, le) (rate(${h.of(h.metric + '_bucket', more)}${over})))
) >= 0`;
}

/**
 * The same of all that was observed since the exporter started: for what happens
 * once a day, and whose first event no rate sees.
 */
export function quantileSoFar(q: number, h: Histogram, by: string): string {
  return `histogram_quantile(${q}, sum by (${by}) (${h.of(h.metric)}))
or
histogram_quantile(${q}, sum by (${by}, le) (${h.of(h.metric + '_bucket')}))`;
}

/** How much was observed since the exporter started. */
export function countSoFar(h: Histogram, by: string): string {
  return `histogram_count(sum by (${by}) (${h.of(h.metric)}))
or
sum by (${by}) (${h.of(h.metric + '_count')})`;
}

/**
 * Cumulative buckets for a heatmap, with the classic bounds. A native histogram
 * is cut at these bounds, so that locations with different histograms add up and
 * every version of Grafana can draw it; `or` leaves out the classic one of the same
 * location. Prometheus 3 writes the bound 1 as 1.0. Where nothing was observed there
 * is no fraction, as 0/0 is no number.
 */
export function buckets(h: Bounded, more = ''): string {
  const native = `sum by (location) (rate(${h.of(h.metric, more)}${window}))`;
  const classic = `sum by (location, le) (rate(${h.of(h.metric + '_bucket', more)}${window}))`;
  const cuts = [...h.bounds.map(String), '+Inf'].map(
    (bound) => `label_replace(histogram_fraction(0, ${bound}, ${native}) >= 0, "le", "${bound}", "", "")`,
  );
  return `sum by (le) (
  (
    ${cuts.join('\n    or ')}
  ) * on (location) group_left () histogram_count(${native})
  or
  label_replace(${classic}, "le", "$1", "le", "(.+)[.]0")
)`;
}

/**
 * How a target is at a location, as a number: 0 unknown, 1 up, 2 degraded, 3
 * down; of several exporters at the location, the worst.
 */
export function state(by = place): string {
  const weighed = ['1', '2', '3'].map(
    (weight, i) => `${weight} * ${ofTarget('acme_target_state', `state="${['up', 'degraded', 'down'][i]}"`)}`,
  );
  return `max by (${by}) (
  ${weighed.join('\n  or\n  ')}
)`;
}

/** What a CA can say of itself on its status page, in the order of statement's numbers. */
export const statements = ['operational', 'maintenance', 'degraded', 'partial_outage', 'major_outage'];

/**
 * What the CA says of itself, as a number: 10 for words that we do not know, 11 and
 * more for the statements. A state of ours is never one of these numbers.
 */
export function statement(metric: string, by: string): string {
  const weighed = statements.map((state, i) => `${11 + i} * (${ofPair(metric, `state="${state}"`)} == 1)`);
  return `max by (${by}) (
  10 * (${ofPair(metric, 'state="unknown"')} == 1)
  or
  ${weighed.join('\n  or\n  ')}
)`;
}

/** Which part of the known time a target was not down; degraded time is available. */
export function availability(by = place): string {
  const share = (states: string) =>
    `sum by (${by}) (avg_over_time(${ofTarget('acme_target_state', `state=~"${states}"`)}${range}))`;
  return `1 - ${share('down')} / (${share('up|degraded|down')} > 0)`;
}

/**
 * Which part of the runs failed by the CA's fault or nobody knows whose. Runs
 * that are our own fault or were skipped are left out, and so are modules that want to
 * be refused: another refusal than the one they want is no failure of the service.
 */
export function bad(by: string, over: string): string {
  const served = `unless on (${exporter}, target, module) ${ofPair('acme_misissued_total')}`;
  const runs = (more: string) => `sum by (${by}) (increase(${ofPair('acme_probes_total', more)}${over}) ${served})`;
  return `${runs('outcome="failure",fault=~"ca|unknown"')}
/ (${runs('outcome=~"success|failure",fault!~"local|client|unreachable"')} > 0)`;
}

/**
 * Events of a counter whose series are born with their first event, at 1, which
 * increase() does not see. What was not there before, and its exporter neither, is no
 * event: it was not scraped.
 */
export function events(by: string, series: string): string {
  return `sum by (${by}) (
  increase(${series}${window}) > 0
  or
  (${series} unless ${series} offset $__rate_interval and on (${exporter}) ${ofExporter('acme_exporter_build_info')} offset $__rate_interval)
)`;
}

/** Whether a series' sample is younger than 60 s: that of a dead agent lives for 5 minutes. */
function fresh(series: string): string {
  return `time() - timestamp(${series}) < 60`;
}

/** How many locations see a target, as the alerts count them. */
export function seeing(by: string): string {
  const states = ofTarget('acme_target_state', 'state=~"up|degraded|down"');
  return `count by (${by}) (count by (${place}) (${states} == 1 and ${fresh(states)}))`;
}

/** 1 where a location says that a target is down: more than half of its exporters do. */
export function saysDown(): string {
  const sum = (states: string) => {
    const series = ofTarget('acme_target_state', `state=~"${states}"`);
    return `sum by (${place}) (${series} and ${fresh(series)})`;
  };
  return `(${sum('down')} > bool 0.5 * ${sum('up|degraded|down')})`;
}
