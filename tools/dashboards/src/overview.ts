// Overview: every target at every location.
import { about, Board } from './board';
import { atLeast, bars, dial, graph, stat, states, stateSteps, steps, table, timeline } from './panels';
import {
  availability,
  bad,
  ofExporter,
  ofPair,
  ofTarget,
  place,
  quantile,
  range,
  request,
  run,
  state,
  window,
} from './promql';

function counted(title: string, code: number, description: string, thresholds: ReturnType<typeof steps>) {
  return stat(
    { title, description, unit: 'short', thresholds, width: 4 },
    { expr: `count(${state()} == ${code}) or vector(0)`, legend: title },
  );
}

const latency = (q: number) => quantile(q, request, place, '', range);

export const overview: Board = {
  uid: 'acme-overview',
  title: 'ACME / Overview',
  description: 'How each CA is at each location, how available it was, how fast, and what is left of the rate limits.',
  from: 'now-24h',
  rows: [
    {
      title: 'Now',
      panels: [
        counted('Down', 3, 'Targets at locations, one for each pair of them, that are down.', steps([1, 'red'])),
        counted('Degraded', 2, 'Where only modules fail that are not critical.', steps([1, 'orange'])),
        counted(
          'Unknown',
          0,
          'Where nobody has seen anything lately. That is no evidence of up and none of down: the line or the exporter is to be looked at.',
          steps([1, 'orange']),
        ),
        counted('Up', 1, 'Where the last evidence was a success and no incident is open.', atLeast([1, 'green'])),
        stat(
          {
            title: 'Exporters',
            description: 'Exporters that were scraped within the last minutes.',
            unit: 'short',
            thresholds: atLeast([1, 'green']),
            width: 4,
          },
          { expr: `count(${ofExporter('acme_exporter_build_info')})`, legend: 'exporters' },
        ),
        stat(
          {
            title: 'Runs',
            description: 'Runs of modules that ended within the time that is shown, whatever their outcome.',
            unit: 'short',
            decimals: 0,
            width: 4,
          },
          { expr: `sum(increase(${ofPair('acme_probes_total')}${range}))`, legend: 'runs' },
        ),
        table(
          {
            title: 'Targets and locations',
            description:
              'Availability is the part of the known time in which the target was not down. API: the duration of all calls that were answered, without the time to connect. Bad runs failed by the fault of the CA, or nobody knows whose. Budget: what is left of the scarcest rate limit. All but the state and the budget are over the time that is shown.',
            unit: 'short',
            width: 24,
            height: 10,
          },
          { title: 'Environment', label: 'environment' },
          { title: 'Target', label: 'target', link: about('acme-ca', 'The CA', 'target') },
          { title: 'Location', label: 'location', link: about('acme-locations', 'The location', 'location') },
          {
            title: 'State',
            expr: state(),
            mappings: states,
            thresholds: stateSteps,
          },
          {
            title: 'Available',
            expr: availability(),
            unit: 'percentunit',
            decimals: 3,
            thresholds: atLeast([0.99, 'orange'], [0.999, 'green']),
          },
          { title: 'API p50', expr: latency(0.5), unit: 's', thresholds: steps([2.5, 'orange'], [10, 'red']) },
          { title: 'API p95', expr: latency(0.95), unit: 's', thresholds: steps([2.5, 'orange'], [10, 'red']) },
          { title: 'API p99', expr: latency(0.99), unit: 's', thresholds: steps([2.5, 'orange'], [10, 'red']) },
          {
            title: 'Bad runs',
            expr: bad(place, range),
            unit: 'percentunit',
            decimals: 2,
            thresholds: steps([0.001, 'orange'], [0.01, 'red']),
          },
          {
            title: 'Incidents',
            expr: `max by (${place}) (round(increase(${ofTarget('acme_incidents_total', 'kind="down"')}${range})))`,
            unit: 'short',
            thresholds: steps([1, 'orange']),
            link: about('acme-incidents', 'Its incidents', 'target', 'location'),
          },
          {
            title: 'Down for',
            expr: `max by (${place}) (increase(${ofTarget('acme_downtime_seconds_total', 'kind="down"')}${range}))`,
            unit: 's',
            thresholds: steps([1, 'orange'], [600, 'red']),
          },
          {
            title: 'Budget',
            expr: `min by (${place}) (${ofTarget('acme_rate_limit_remaining')} / ${ofTarget('acme_rate_limit_capacity')})`,
            unit: 'percentunit',
            decimals: 0,
            thresholds: atLeast([0.05, 'orange'], [0.2, 'green']),
            link: about('acme-exporter', 'The exporters', 'target', 'location'),
          },
        ),
      ],
    },
    {
      title: 'Over time',
      panels: [
        timeline(
          {
            title: 'State',
            description: 'How each target was at each location. The same time at all locations: the CA. At one alone: that location.',
            unit: 'short',
            mappings: states,
            thresholds: stateSteps,
            width: 24,
            height: 8,
          },
          { expr: state(), legend: '{{target}} {{location}}' },
        ),
        graph(
          {
            title: 'API, 95th percentile',
            description: 'Duration of all calls to the API that were answered: the time of the CA and one round trip. That of the slowest location.',
            unit: 's',
            thresholds: steps([2.5, 'orange'], [10, 'red']),
            min: 0,
            width: 12,
            interval: '5m',
          },
          {
            expr: `max by (target) (${quantile(0.95, request, 'target, location')})`,
            legend: '{{target}}',
          },
        ),
        graph(
          {
            title: 'Runs, 95th percentile',
            description: 'Duration of whole runs of each module, at the slowest location.',
            unit: 's',
            thresholds: steps([20, 'orange'], [45, 'red']),
            min: 0,
            width: 12,
            interval: '5m',
          },
          {
            expr: `max by (target, module) (${quantile(0.95, run, 'target, module, location')})`,
            legend: '{{target}} {{module}}',
          },
        ),
        bars(
          {
            title: 'Failed runs by fault',
            description:
              'ca: the CA. unreachable: it was not reached and our own line works. local: our own line or machine. client: our own configuration. unknown: it cannot be said.',
            unit: 'short',
            min: 0,
            width: 12,
            interval: '5m',
          },
          {
            expr: `sum by (target, fault) (increase(${ofPair('acme_probes_total', 'outcome="failure"')}${window}))`,
            legend: '{{target}} {{fault}}',
          },
        ),
        graph(
          {
            title: 'Budget',
            description:
              'What is left of the scarcest rate limit, as a part of our share, at the location with the least. Below a fifth only the runs that confirm a failure may spend.',
            unit: 'percentunit',
            thresholds: atLeast([0.05, 'orange'], [0.2, 'green']),
            min: 0,
            max: 1,
            width: 12,
          },
          {
            expr: `min by (target, limit) (${ofTarget('acme_rate_limit_remaining')} / ${ofTarget('acme_rate_limit_capacity')})`,
            legend: '{{target}} {{limit}}',
          },
        ),
        dial(
          {
            title: 'Availability',
            description:
              'The part of the known time in which the target was not down, over all chosen locations and the time that is shown. Degraded time counts as available, and unknown time neither way.',
            unit: 'percentunit',
            decimals: 3,
            min: 0.9,
            max: 1,
            thresholds: atLeast([0.99, 'orange'], [0.999, 'green']),
            width: 24,
            height: 6,
          },
          { expr: availability('environment, target'), legend: '{{target}}' },
        ),
      ],
    },
  ],
};
