// CA: what one CA does for us, call by call and step by step.
import { Board, labelValues } from './board';
import { atLeast, bars, goodIfYes, graph, heatmap, stat, steps, timeline } from './panels';
import {
  buckets,
  connection,
  events,
  firstRequest,
  ofPair,
  ofTarget,
  pairAt,
  quantile,
  request,
  spread,
  step,
  until,
  window,
} from './promql';
import { published } from './published';

const calls = 'call=~"$call"';
const stepsOf = 'step=~"$step"';
const interval = '5m';
const slow = steps([2.5, 'orange'], [10, 'red']);
const slower = steps([20, 'orange'], [45, 'red']);

export const ca: Board = {
  uid: 'acme-ca',
  title: 'ACME / CA',
  description: 'What a CA does call by call and step by step, why runs fail, and what it publishes. Choose one target.',
  from: 'now-6h',
  variables: [
    labelValues('call', 'Call', 'acme_requests_total{job=~"$job",location=~"$location",target=~"$target"}', '.+'),
    labelValues(
      'step',
      'Step',
      '{__name__=~"acme_step_duration_seconds(_count)?",job=~"$job",location=~"$location",target=~"$target"}',
      '.+',
    ),
  ],
  rows: [
    {
      title: 'Runs',
      panels: [
        timeline(
          {
            title: 'Modules',
            description: 'Whether the last run of each module that gave evidence succeeded.',
            unit: 'short',
            mappings: goodIfYes,
            thresholds: atLeast([1, 'green']),
            width: 12,
          },
          { expr: `min by (${pairAt}) (${ofPair('acme_probe_success')})`, legend: '{{target}} {{module}} {{location}}' },
        ),
        bars(
          {
            title: 'Runs by outcome and fault',
            description:
              'Skipped runs are no evidence: a rate limit, or the CA does not offer what the module wants. Faults: ca, unreachable (it was not reached and our own line works), local, client, unknown.',
            unit: 'short',
            min: 0,
            width: 12,
            interval,
          },
          {
            expr: `sum by (outcome, fault) (increase(${ofPair('acme_probes_total')}${window}))`,
            legend: '{{outcome}} {{fault}}',
          },
        ),
        bars(
          {
            title: 'Reasons of failures',
            description: 'Failed runs by the step that failed and the reason, over all chosen locations. docs/verdicts.md explains each reason.',
            unit: 'short',
            min: 0,
            width: 24,
            interval,
          },
          { expr: events('stage, reason', ofPair('acme_probe_failures_total')), legend: '{{stage}}: {{reason}}' },
        ),
      ],
    },
    {
      title: 'Calls',
      panels: [
        heatmap(
          {
            title: 'Calls by duration',
            description:
              'How many calls took how long, of the chosen ones, at all chosen locations. From connection ready to the last byte: the time of the CA and one round trip.',
            unit: 's',
            width: 12,
            interval,
          },
          buckets(request, calls),
        ),
        graph(
          {
            title: 'Duration of the chosen calls',
            description: 'The median, the 95th and the 99th percentile at each location.',
            unit: 's',
            thresholds: slow,
            min: 0,
            width: 12,
            interval,
          },
          ...[0.5, 0.95, 0.99].map((q) => ({
            expr: quantile(q, request, 'target, location', calls),
            legend: `p${100 * q} {{target}} {{location}}`,
          })),
        ),
        graph(
          {
            title: 'Each call, 95th percentile',
            description: 'Which call is slow, at the slowest location.',
            unit: 's',
            thresholds: slow,
            min: 0,
            width: 12,
            interval,
          },
          {
            expr: `max by (target, call) (${quantile(0.95, request, 'target, location, call', calls)})`,
            legend: '{{target}} {{call}}',
          },
        ),
        bars(
          {
            title: 'Calls by status',
            description: 'HTTP status of the chosen calls. none: there was no whole answer. other: a status that is rare for the call.',
            unit: 'reqps',
            min: 0,
            width: 6,
          },
          {
            expr: `sum by (code) (rate(${ofPair('acme_requests_total', calls)}${window}))`,
            legend: '{{code}}',
          },
        ),
        bars(
          {
            title: 'Repeated calls',
            description: 'Calls that repeated one before, by why. Some bad nonces are normal where a CA has several nonce services.',
            unit: 'reqps',
            min: 0,
            width: 6,
          },
          {
            expr: `sum by (target, cause) (rate(${ofPair('acme_request_retries_total')}${window}))`,
            legend: '{{target}} {{cause}}',
          },
        ),
      ],
    },
    {
      title: 'Steps',
      panels: [
        heatmap(
          {
            title: 'Steps by duration',
            description:
              'How many of the chosen steps took how long. validation: challenge accepted to authorization valid. finalization: finalize sent to order valid.',
            unit: 's',
            width: 12,
            interval,
          },
          buckets(step, stepsOf),
        ),
        graph(
          {
            title: 'Duration of the chosen steps',
            description: 'The median, the 95th and the 99th percentile at each location. Choose one step.',
            unit: 's',
            thresholds: slower,
            min: 0,
            width: 12,
            interval,
          },
          ...[0.5, 0.95, 0.99].map((q) => ({
            expr: quantile(q, step, 'target, location', stepsOf),
            legend: `p${100 * q} {{target}} {{location}}`,
          })),
        ),
        graph(
          {
            title: 'Each step, 95th percentile',
            description: 'Which step is slow, at the slowest location. Only steps that succeeded.',
            unit: 's',
            thresholds: slower,
            min: 0,
            width: 24,
            interval,
          },
          {
            expr: `max by (target, step) (${quantile(0.95, step, 'target, location, step', stepsOf)})`,
            legend: '{{target}} {{step}}',
          },
        ),
      ],
    },
    {
      title: 'Connections',
      panels: [
        graph(
          {
            title: 'Phases of opening a connection, 95th percentile',
            description: 'Resolving the name, TCP and TLS, of new connections to the API, at each location. Only phases that succeeded.',
            unit: 's',
            thresholds: steps([0.25, 'orange'], [1, 'red']),
            min: 0,
            width: 16,
            interval,
          },
          {
            expr: quantile(0.95, connection, 'target, location, phase'),
            legend: '{{target}} {{location}} {{phase}}',
          },
        ),
        stat(
          {
            title: "The API's certificate ends in",
            description: 'What is left of the certificate that the API presented last, at the location that saw the oldest.',
            unit: 's',
            thresholds: atLeast([86400, 'orange'], [7 * 86400, 'green']),
            width: 8,
            height: 8,
          },
          { expr: until(ofTarget('acme_api_certificate_not_after_timestamp_seconds'), 'target'), legend: '{{target}}' },
        ),
      ],
    },
    {
      title: 'Validation',
      panels: [
        graph(
          {
            title: "Validators' networks",
            description:
              "From how many networks validators fetched the answer during the last validation: the CA's perspectives. The fewest of all locations.",
            unit: 'short',
            thresholds: atLeast([1, 'green']),
            min: 0,
            decimals: 0,
            width: 8,
          },
          {
            expr: `min by (target, module, family) (${ofPair('acme_validation_networks')})`,
            legend: '{{target}} {{module}} {{family}}',
          },
        ),
        graph(
          {
            title: 'First request, 95th percentile',
            description:
              'From challenge accepted to the first request that fetched the answer, by its address family. An address of ours that does not work shows as the delay of the other family.',
            unit: 's',
            thresholds: steps([5, 'orange'], [10, 'red']),
            min: 0,
            width: 8,
            interval,
          },
          {
            expr: quantile(0.95, firstRequest, 'target, location, family'),
            legend: '{{target}} {{location}} {{family}}',
          },
        ),
        graph(
          {
            title: 'From the first request to the last, 95th percentile',
            description: "How far apart the CA's perspectives fetch the answer of one name.",
            unit: 's',
            thresholds: steps([5, 'orange'], [10, 'red']),
            min: 0,
            width: 8,
            interval,
          },
          { expr: quantile(0.95, spread, 'target, location'), legend: '{{target}} {{location}}' },
        ),
        bars(
          {
            title: 'Requests of validators',
            description: 'Requests at our responders, by challenge type and address family.',
            unit: 'reqps',
            min: 0,
            width: 24,
          },
          {
            expr: `sum by (challenge, family) (rate(${ofPair('acme_validation_requests_total')}${window}))`,
            legend: '{{challenge}} {{family}}',
          },
        ),
      ],
    },
    ...published,
  ],
};
