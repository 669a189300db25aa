// Locations: all of them together, the CA; one alone, the location.
import { about, Board } from './board';
import { atLeast, bars, graph, states, stateSteps, steps, table, timeline } from './panels';
import {
  bad,
  connection,
  ofExporter,
  ofPair,
  ofTarget,
  place,
  quantile,
  range,
  request,
  saysDown,
  seeing,
  state,
  window,
} from './promql';

const interval = '5m';

export const locations: Board = {
  uid: 'acme-locations',
  title: 'ACME / Locations',
  description: 'The locations beside each other. What rises at all of them is the CA; what rises at one alone is that location.',
  from: 'now-6h',
  rows: [
    {
      title: 'Who sees what',
      panels: [
        timeline(
          {
            title: 'State by location',
            description: 'All down together: the CA. One alone: that location. Unknown: it sees nothing, and says nothing about the CA.',
            unit: 'short',
            mappings: states,
            thresholds: stateSteps,
            width: 24,
            height: 10,
          },
          { expr: state(), legend: '{{location}} {{target}}' },
        ),
        graph(
          {
            title: 'Part of the locations that say down',
            description:
              'Of the locations that see the target. Above a half, and at least two of them, the alerts say that the CA is down. A location is counted while its samples are younger than 60 s.',
            unit: 'percentunit',
            thresholds: steps([0.5, 'red']),
            min: 0,
            max: 1,
            width: 8,
          },
          {
            expr: `sum by (environment, target) (${saysDown()}) / ${seeing('environment, target')}`,
            legend: '{{target}}',
          },
        ),
        graph(
          {
            title: 'Part of the targets that a location says are down',
            description: 'Near the whole at one location while the others see no harm: that location, and not the CAs.',
            unit: 'percentunit',
            thresholds: steps([0.5, 'orange']),
            min: 0,
            max: 1,
            width: 8,
          },
          { expr: `sum by (location) (${saysDown()}) / ${seeing('location')}`, legend: '{{location}}' },
        ),
        graph(
          {
            title: 'Locations that see the target',
            description: 'One that says unknown sees nothing: its line is down, or nothing has run.',
            unit: 'short',
            thresholds: atLeast([1, 'orange'], [2, 'green']),
            min: 0,
            decimals: 0,
            width: 8,
          },
          { expr: seeing('environment, target'), legend: '{{target}}' },
        ),
        table(
          {
            title: 'Locations',
            description: 'Each location over the time that is shown: its share of bad runs, those on which its own line failed, and how long ago it last had evidence about any target.',
            unit: 'short',
            width: 24,
          },
          { title: 'Location', label: 'location', link: about('acme-exporter', 'Its exporters', 'location') },
          {
            title: 'Exporters',
            expr: `count by (location) (${ofExporter('acme_exporter_build_info')})`,
            thresholds: atLeast([1, 'green']),
          },
          {
            title: 'Targets down',
            expr: `count by (location) (${state()} == 3) or 0 * count by (location) (${state()})`,
            thresholds: steps([1, 'red']),
          },
          {
            title: 'Bad runs',
            expr: bad('location', range),
            unit: 'percentunit',
            decimals: 2,
            thresholds: steps([0.001, 'orange'], [0.01, 'red']),
          },
          {
            title: 'Not reached',
            expr: `sum by (location) (increase(${ofPair('acme_probes_total', 'fault="unreachable"')}${range}))`,
            decimals: 0,
            thresholds: steps([1, 'orange']),
          },
          {
            title: 'Own line',
            expr: `sum by (location) (increase(${ofPair('acme_probes_total', 'fault="local"')}${range}))`,
            decimals: 0,
            thresholds: steps([1, 'orange']),
          },
          { title: 'API p95', expr: quantile(0.95, request, 'location', '', range), unit: 's', thresholds: steps([2.5, 'orange'], [10, 'red']) },
          {
            title: 'Last evidence',
            expr: `time() - max by (location) (${ofTarget('acme_target_last_evidence_timestamp_seconds')})`,
            unit: 's',
            thresholds: steps([300, 'orange'], [900, 'red']),
          },
        ),
      ],
    },
    {
      title: 'Beside each other',
      panels: [
        graph(
          {
            title: 'API, 95th percentile',
            description: 'Duration of all calls that were answered. Higher everywhere from one moment on: the CA is slow. At one location: its line.',
            unit: 's',
            thresholds: steps([2.5, 'orange'], [10, 'red']),
            min: 0,
            width: 12,
            interval,
          },
          { expr: quantile(0.95, request, 'target, location'), legend: '{{location}} {{target}}' },
        ),
        graph(
          {
            title: 'Connecting (TCP), median',
            description: 'About one round trip to the API: the network between the location and the CA, without the time of the CA.',
            unit: 's',
            thresholds: steps([0.25, 'orange'], [1, 'red']),
            min: 0,
            width: 12,
            interval,
          },
          { expr: quantile(0.5, connection, 'target, location', 'phase="connect"'), legend: '{{location}} {{target}}' },
        ),
        bars(
          {
            title: 'Failed runs by location and fault',
            description: 'ca at all locations: the CA. unreachable at one: the way to it. local: the own line or machine.',
            unit: 'short',
            min: 0,
            width: 12,
            interval,
          },
          {
            expr: `sum by (location, fault) (increase(${ofPair('acme_probes_total', 'outcome="failure"')}${window}))`,
            legend: '{{location}} {{fault}}',
          },
        ),
        graph(
          {
            title: 'Time since the last evidence',
            description: 'Since a run succeeded, or failed by the fault of the CA or of the way to it. What rises: nobody there sees the target any more.',
            unit: 's',
            thresholds: steps([300, 'orange'], [900, 'red']),
            min: 0,
            width: 12,
          },
          {
            expr: `time() - max by (${place}) (${ofTarget('acme_target_last_evidence_timestamp_seconds')})`,
            legend: '{{location}} {{target}}',
          },
        ),
      ],
    },
  ],
};
