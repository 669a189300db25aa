// Exporter: whether those who watch are well.
import { Board, exporterPage, scheme } from './board';
import { atLeast, bars, goodIfYes, graph, stat, steps, table } from './panels';
import { exporter, ofExporter, ofPair, ofTarget, range, window } from './promql';

const interval = '5m';
const build = `max by (${exporter}, version) (${ofExporter('acme_exporter_build_info')})`;

/**
 * A series of the exporters' processes, or of Prometheus's about them. Every process
 * has one of this name, and all jobs may be chosen.
 */
const ofProcess = (metric: string) => `${ofExporter(metric)} and on (${exporter}) ${build}`;

/** A column about each exporter. */
const each = (expr: string) => `max by (${exporter}, version) (${expr} * on (${exporter}) group_left (version) ${build})`;

export const exporters: Board = {
  uid: 'acme-exporter',
  title: 'ACME / Exporter',
  description: 'Whether the exporters are up, keep their schedule and their budget, and what they cost.',
  from: 'now-6h',
  variables: [scheme],
  rows: [
    {
      title: 'Exporters',
      panels: [
        stat(
          {
            title: 'Scraped',
            description: 'Exporters that answer Prometheus.',
            unit: 'short',
            thresholds: atLeast([1, 'green']),
            width: 6,
          },
          { expr: `count(${ofProcess('up')}) or vector(0)`, legend: 'up' },
        ),
        stat(
          {
            title: 'Not scraped',
            description: 'What does not answer Prometheus, in jobs that had an exporter within the time that is shown.',
            unit: 'short',
            thresholds: steps([1, 'red']),
            width: 6,
          },
          {
            expr: `count(${ofExporter('up')} == 0 and on (job) last_over_time(${ofExporter('acme_exporter_build_info')}${range})) or vector(0)`,
            legend: 'down',
          },
        ),
        stat(
          {
            title: 'Largest lag',
            description: 'How long a run is overdue, of the one that is the most. A run that is due later is 0.',
            unit: 's',
            thresholds: steps([30, 'orange'], [120, 'red']),
            width: 6,
          },
          {
            expr: `clamp_min(max(time() - ${ofPair('acme_probe_next_due_timestamp_seconds')}), 0)`,
            legend: 'lag',
          },
        ),
        stat(
          {
            title: 'Budget ledger',
            description: 'Whether what was spent of rate limits can be read and written at every exporter that keeps it. While it cannot, nothing is ordered.',
            unit: 'short',
            mappings: goodIfYes,
            thresholds: atLeast([1, 'green']),
            width: 6,
          },
          { expr: `min(${ofExporter('acme_budget_ledger_ok')})`, legend: 'ok' },
        ),
        table(
          {
            title: 'Exporters',
            description: 'Version, how long each runs, whether it has loaded its configuration, and what it takes.',
            unit: 'short',
            width: 24,
          },
          { title: 'Job', label: 'job' },
          { title: 'Instance', label: 'instance', link: exporterPage },
          { title: 'Location', label: 'location' },
          { title: 'Version', label: 'version' },
          {
            title: 'Running for',
            expr: each(`(time() - ${ofExporter('process_start_time_seconds')})`),
            unit: 's',
          },
          {
            title: 'Configuration loaded',
            expr: each(ofExporter('acme_exporter_config_last_reload_successful')),
            mappings: goodIfYes,
            thresholds: atLeast([1, 'green']),
          },
          {
            title: 'Loaded before',
            expr: each(`(time() - ${ofExporter('acme_exporter_config_last_reload_success_timestamp_seconds')})`),
            unit: 's',
          },
          {
            title: 'Memory',
            expr: each(ofExporter('process_resident_memory_bytes')),
            unit: 'bytes',
          },
          {
            title: 'Series',
            expr: each(ofExporter('scrape_samples_scraped')),
          },
          {
            title: 'Scrape',
            expr: each(ofExporter('scrape_duration_seconds')),
            unit: 's',
            thresholds: steps([1, 'orange'], [5, 'red']),
          },
        ),
      ],
    },
    {
      title: 'Schedule',
      panels: [
        graph(
          {
            title: 'Lag',
            description: 'How long a run is overdue, of the module that is the most. Below the duration of a run nothing is wrong.',
            unit: 's',
            thresholds: steps([30, 'orange'], [120, 'red']),
            min: 0,
            width: 8,
          },
          {
            expr: `clamp_min(max by (location, target) (time() - ${ofPair('acme_probe_next_due_timestamp_seconds')}), 0)`,
            legend: '{{location}} {{target}}',
          },
        ),
        bars(
          {
            title: 'Missed ticks',
            description: 'Ticks of the schedule that neither started a run nor joined one: runs take longer than their interval.',
            unit: 'short',
            thresholds: steps([1, 'orange']),
            min: 0,
            width: 8,
            interval,
          },
          {
            expr: `sum by (location, target, module) (increase(${ofPair('acme_exporter_schedule_missed_total')}${window}))`,
            legend: '{{location}} {{target}} {{module}}',
          },
        ),
        graph(
          {
            title: 'Time since the last run',
            description: 'Of each module, at the location where it is longest ago.',
            unit: 's',
            min: 0,
            width: 8,
          },
          {
            expr: `max by (target, module) (time() - ${ofPair('acme_probe_last_run_timestamp_seconds')})`,
            legend: '{{target}} {{module}}',
          },
        ),
        bars(
          {
            title: 'Follow-ups',
            description: 'Attempts to undo what a run left behind (an authorization, a record), by outcome. One that fails is tried again.',
            unit: 'short',
            min: 0,
            width: 12,
            interval,
          },
          {
            expr: `sum by (target, kind, outcome) (increase(${ofPair('acme_follow_ups_total')}${window}))`,
            legend: '{{target}} {{kind}} {{outcome}}',
          },
        ),
        bars(
          {
            title: 'Skipped runs',
            description: 'Runs that did not ask the CA, most of them because the budget holds them back.',
            unit: 'short',
            thresholds: steps([1, 'orange']),
            min: 0,
            width: 12,
            interval,
          },
          {
            expr: `sum by (location, target, module) (increase(${ofPair('acme_probes_total', 'outcome="skipped"')}${window}))`,
            legend: '{{location}} {{target}} {{module}}',
          },
        ),
      ],
    },
    {
      title: 'Budget',
      panels: [
        graph(
          {
            title: 'Left of each rate limit',
            description: 'As a part of our share, by the key that has the fewest. Below a fifth only the runs that confirm a failure may spend.',
            unit: 'percentunit',
            thresholds: atLeast([0.05, 'orange'], [0.2, 'green']),
            min: 0,
            max: 1,
            width: 12,
          },
          {
            expr: `min by (location, target, limit) (${ofTarget('acme_rate_limit_remaining')} / ${ofTarget('acme_rate_limit_capacity')})`,
            legend: '{{location}} {{target}} {{limit}}',
          },
        ),
        bars(
          {
            title: 'Runs that the CA refused for a rate limit',
            description: 'Our own budget should have held these back: others spend from the same limits, or they were lowered.',
            unit: 'short',
            thresholds: steps([1, 'orange']),
            min: 0,
            width: 12,
            interval,
          },
          {
            expr: `sum by (location, target, limit) (increase(${ofTarget('acme_rate_limited_total')}${window}))`,
            legend: '{{location}} {{target}} {{limit}}',
          },
        ),
      ],
    },
    {
      title: 'What they cost',
      panels: [
        graph(
          { title: 'Memory', description: 'Resident memory of the process.', unit: 'bytes', min: 0, width: 8 },
          { expr: `max by (${exporter}) (${ofProcess('process_resident_memory_bytes')})`, legend: '{{location}} {{instance}}' },
        ),
        graph(
          { title: 'CPU', description: 'Processor seconds in each second: 1 is one core.', unit: 'short', min: 0, width: 8 },
          {
            expr: `max by (${exporter}) (rate(${ofExporter('process_cpu_seconds_total')}${window}) and on (${exporter}) ${build})`,
            legend: '{{location}} {{instance}}',
          },
        ),
        graph(
          {
            title: 'Goroutines and open files',
            description: 'What only rises is a leak.',
            unit: 'short',
            min: 0,
            width: 8,
          },
          { expr: `max by (${exporter}) (${ofProcess('go_goroutines')})`, legend: 'goroutines {{location}} {{instance}}' },
          { expr: `max by (${exporter}) (${ofProcess('process_open_fds')})`, legend: 'files {{location}} {{instance}}' },
        ),
      ],
    },
  ],
};
