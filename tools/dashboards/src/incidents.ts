// Incidents: when what was down, why, and for how long.
import { about, Board, exporterPage, scheme, told } from './board';
import { atLeast, badIfYes, bars, graph, ranking, stat, states, statesAndStatements, stateSteps, steps, table, timeline } from './panels';
import { events, exporter, ofPair, ofTarget, place, range, state, statement, window } from './promql';

const start = ofTarget('acme_incident_start_timestamp_seconds');
const end = ofTarget('acme_incident_end_timestamp_seconds');
const official = ofTarget('acme_incident_official_start_timestamp_seconds');

/** A column about the latest incident of each target, as each exporter saw it. */
const latest = (expr: string) => `max by (${place}, instance, kind, stage, reason, fault) (${told(`(${expr})`)})`;

const total = (metric: string, by: string) => `max by (${by}, location) (increase(${ofTarget(metric)}${range}))`;

export const incidents: Board = {
  uid: 'acme-incidents',
  title: 'ACME / Incidents',
  description: 'When which target was down, why, for how long, and where that was seen.',
  from: 'now-7d',
  variables: [scheme],
  rows: [
    {
      title: 'Incidents',
      panels: [
        stat(
          {
            title: 'Open now',
            description: 'Targets at locations with an incident that goes on.',
            unit: 'short',
            thresholds: steps([1, 'red']),
            width: 6,
          },
          { expr: `count(count by (${place}) (${start} unless ${end})) or vector(0)`, legend: 'open' },
        ),
        stat(
          {
            title: 'Since the last one began',
            description: 'At any of the chosen locations. Nothing is shown where none is known.',
            unit: 's',
            width: 6,
          },
          { expr: `time() - max(${start})`, legend: 'since' },
        ),
        stat(
          {
            title: 'Longest time down',
            description: 'Of one target at one location, within the time that is shown.',
            unit: 's',
            thresholds: steps([1, 'orange'], [600, 'red']),
            width: 6,
          },
          { expr: `max(increase(${ofTarget('acme_downtime_seconds_total', 'kind="down"')}${range}))`, legend: 'down' },
        ),
        stat(
          {
            title: 'Incidents',
            description: 'Of the location that saw the most of them, all targets together, within the time that is shown.',
            unit: 'short',
            decimals: 0,
            thresholds: steps([1, 'orange']),
            width: 6,
          },
          {
            expr: `max(sum by (${exporter}) (increase(${ofTarget('acme_incidents_total', 'kind="down"')}${range})))`,
            legend: 'incidents',
          },
        ),
        timeline(
          {
            title: 'State',
            description: 'How each target was at each location.',
            unit: 'short',
            mappings: states,
            thresholds: stateSteps,
            width: 24,
            height: 8,
          },
          { expr: state(), legend: '{{target}} {{location}}' },
        ),
        table(
          {
            title: 'The latest incident of each target',
            description:
              'As each exporter saw it: from the first failed run to the first success after it. Its page has all incidents before, with their evidence. Published: when the status page of the CA has told of it, and how much earlier we knew. Stage, reason and fault are those of the first conclusive failure.',
            unit: 'short',
            width: 24,
            height: 10,
          },
          { title: 'Environment', label: 'environment' },
          { title: 'Target', label: 'target', link: about('acme-ca', 'The CA', 'target') },
          { title: 'Location', label: 'location', link: about('acme-locations', 'The location', 'location') },
          { title: 'Open', expr: latest(`0 * ${start} + 1 unless ${end} or 0 * ${start}`), mappings: badIfYes },
          { title: 'Start', expr: latest(`1000 * ${start}`), unit: 'dateTimeAsIso' },
          { title: 'End', expr: latest(`1000 * ${end}`), unit: 'dateTimeAsIso' },
          {
            title: 'Duration',
            expr: latest(`(${end} or 0 * ${start} + time()) - ${start}`),
            unit: 's',
            thresholds: steps([60, 'orange'], [600, 'red']),
          },
          { title: 'Published', expr: latest(`1000 * ${official}`), unit: 'dateTimeAsIso' },
          { title: 'Our lead', expr: latest(`${official} - ${start}`), unit: 's', thresholds: atLeast([0, 'green']) },
          { title: 'Kind', label: 'kind' },
          { title: 'Stage', label: 'stage' },
          { title: 'Reason', label: 'reason' },
          { title: 'Fault', label: 'fault' },
          { title: 'Exporter', label: 'instance', link: exporterPage },
        ),
      ],
    },
    {
      title: 'What the CA says of itself',
      panels: [
        timeline(
          {
            title: 'What we see, and what the CA says',
            description:
              'The worst state that a location sees, beside the overall state of the status page. Only targets with a module that reads it; feeds have no overall state. What the CA says is no evidence for us.',
            unit: 'short',
            mappings: statesAndStatements,
            thresholds: stateSteps,
            width: 24,
            height: 6,
          },
          { expr: state('target'), legend: '{{target}}: seen here' },
          { expr: statement('acme_status_overall', 'target'), legend: '{{target}}: its status page' },
        ),
        timeline(
          {
            title: 'Components',
            description: 'What the status page says of the components that modules name.',
            unit: 'short',
            mappings: statesAndStatements,
            thresholds: stateSteps,
            width: 12,
          },
          { expr: statement('acme_status_component_state', 'target, component'), legend: '{{target}} {{component}}' },
        ),
        graph(
          {
            title: 'Published incidents that go on',
            description: 'Incidents that the status page tells of and that are not over, without planned maintenance.',
            unit: 'short',
            min: 0,
            decimals: 0,
            width: 6,
          },
          { expr: `max by (target) (${ofPair('acme_status_incidents')})`, legend: '{{target}}' },
        ),
        stat(
          {
            title: 'Published for',
            description: 'Since the latest of these incidents was published. Nothing is shown while there is none.',
            unit: 's',
            thresholds: steps([0, 'orange']),
            width: 6,
            height: 8,
          },
          {
            expr: `time() - max by (target) (${ofPair('acme_status_incident_start_timestamp_seconds')})`,
            legend: '{{target}}',
          },
        ),
      ],
    },
    {
      title: 'How many, how long, why',
      panels: [
        ranking(
          {
            title: 'Time down or degraded',
            description: 'Of each target, by the location that saw the most of it, within the time that is shown.',
            unit: 's',
            thresholds: steps([60, 'orange'], [600, 'red']),
            min: 0,
            width: 12,
          },
          'target',
          `max by (target) (sum by (target, ${exporter}) (increase(${ofTarget('acme_downtime_seconds_total')}${range})))`,
        ),
        table(
          {
            title: 'Totals',
            description: 'Incidents and their time, within the time that is shown. One that was first degraded and then down is in both rows.',
            unit: 'short',
            width: 12,
          },
          { title: 'Target', label: 'target' },
          { title: 'Location', label: 'location' },
          { title: 'Kind', label: 'kind' },
          { title: 'Incidents', expr: total('acme_incidents_total', 'target, kind'), decimals: 0 },
          { title: 'Time', expr: total('acme_downtime_seconds_total', 'target, kind'), unit: 's' },
        ),
        bars(
          {
            title: 'Incidents that began',
            description: 'By kind. At all locations at once: the CA.',
            unit: 'short',
            min: 0,
            width: 12,
            interval: '5m',
          },
          {
            expr: `sum by (target, location, kind) (increase(${ofTarget('acme_incidents_total')}${window}))`,
            legend: '{{target}} {{location}} {{kind}}',
          },
        ),
        bars(
          {
            title: 'Reasons of failures',
            description: 'Failed runs by reason, also those that made no incident.',
            unit: 'short',
            min: 0,
            width: 12,
            interval: '5m',
          },
          { expr: events('target, reason', ofPair('acme_probe_failures_total')), legend: '{{target}} {{reason}}' },
        ),
      ],
    },
  ],
};
