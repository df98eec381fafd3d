// SPDX-License-Identifier: Apache-2.0

// A data source that queries a real Prometheus like Grafana's: with the same steps,
// variables, names and frames. The server of the page forwards the queries.
import { DataFrame, FieldType, LoadingState, toDataFrame } from '@grafana/data';
import { RuntimeDataSource, sceneGraph } from '@grafana/scenes';
import { from } from 'rxjs';

// scrapeInterval is the scrape interval, as configured for Grafana's data source, in seconds.
const scrapeInterval = Number(new URLSearchParams(location.search).get('scrape') ?? 15);

const aboutPoints = 300; // in a graph, before the step is rounded
const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

// stepOf is Grafana's $__interval: a round number, not below the scrape interval.
function stepOf(seconds: number): number {
  const wanted = Math.max(scrapeInterval, seconds / aboutPoints);
  return steps.find((s) => s >= wanted) ?? steps[steps.length - 1];
}

async function ask(path: string, parameters: Record<string, any>): Promise<any> {
  const answer = await (await fetch(`/prometheus/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== 'success') {
    throw new Error(answer.error);
  }
  return answer.data;
}

function legendOf(format: string | undefined, labels: Record<string, string>): string {
  if (format) {
    return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  const { __name__: name = '', ...rest } = labels;
  return `${name}{${Object.entries(rest).map(([k, v]) => `${k}="${v}"`).join(', ')}}`;
}

// seriesFrame has a point for each step, null where there is none: a line has a
// gap there, as in Grafana.
function seriesFrame(target: any, range: Range, series: any): DataFrame {
  const values = new Map<number, number>((series.values ?? [series.value]).map(([time, text]: [number, string]) => [time, numberOf(text)]));
  const times = target.instant ? [...values.keys()] : timesOf(range);
  const name = legendOf(target.legendFormat, series.metric);
  return toDataFrame({
    refId: target.refId, name,
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((t) => t * 1000) },
      { name: 'Value', type: FieldType.number, labels: series.metric, values: times.map((t) => values.get(t) ?? null), config: { displayNameFromDS: name } },
    ],
  });
}

type Range = { start: number; end: number; step: number };

function timesOf({ start, end, step }: Range): number[] {
  return Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, n) => start + n * step);
}

// numberOf reads Prometheus' spelling: +Inf, NaN.
function numberOf(text: string): number {
  return Number(text.replace('Inf', 'Infinity'));
}

// tableFrame has a column for each label and a row for each series.
function tableFrame(target: any, result: any[]): DataFrame {
  const labels = [...new Set(result.flatMap((s) => Object.keys(s.metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: result.map((s) => s.value[0] * 1000) },
      ...labels.map((name) => ({ name, type: FieldType.string, values: result.map((s) => s.metric[name] ?? '') })),
      { name: 'Value', type: FieldType.number, values: result.map((s) => numberOf(s.value[1])) },
    ],
  });
}

// answered counts the series by panel and query. The caller decides whether an empty
// result is a fault.
export const answered: Array<{ panel: string; refId: string; expr: string; series: number; error?: string }> = [];

export class Prometheus extends RuntimeDataSource<any> {
  query(request: any): any {
    const answers = request.targets.map((t: any) => this.one(request, t));
    return from(Promise.all(answers).then((frames) => ({ data: frames.flat(), state: LoadingState.Done })));
  }

  private async one(request: any, target: any): Promise<DataFrame[]> {
    const runner = request.scopedVars.__sceneObject.value.valueOf();
    const start = request.range.from.valueOf() / 1000, end = request.range.to.valueOf() / 1000;
    const step = stepOf(end - start);
    const expr = sceneGraph.interpolate(runner, target.expr, {
      ...request.scopedVars,
      __interval: { value: `${step}s` },
      __rate_interval: { value: `${Math.max(step + scrapeInterval, 4 * scrapeInterval)}s` },
      __range: { value: `${Math.round(end - start)}s` },
    });
    const seen: any = { panel: runner.parent?.state.title ?? runner.parent?.parent?.state.title, refId: target.refId, expr, series: 0 };
    answered.push(seen);
    try {
      const align = (t: number) => Math.floor(t / step) * step;
      const range = { start: align(start), end: align(end), step };
      const { result } = await (target.instant ? ask('query', { query: expr, time: end }) : ask('query_range', { query: expr, ...range }));
      seen.series = result.length;
      if (target.format === 'table') {
        return result.length ? [tableFrame(target, result)] : [];
      }
      return result.map((series: any) => seriesFrame(target, range, series));
    } catch (err: any) {
      seen.error = err.message;
      throw err;
    }
  }

  // metricFindQuery answers label_values(metric{…}, label), for variables.
  async metricFindQuery(query: any, options: any) {
    const text = sceneGraph.interpolate(options.scopedVars.__sceneObject.value.valueOf(), query.query ?? query);
    const match = /^label_values\((.+),\s*(\w+)\)$/.exec(text);
    if (!match) {
      throw new Error(`${text} is no label_values(metric, label)`);
    }
    const values = await ask(`label/${match[2]}/values`, { 'match[]': match[1] });
    return values.map((value: string) => ({ text: value }));
  }

  async testDatasource() {
    return {};
  }
}
