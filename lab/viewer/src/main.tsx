// SPDX-License-Identifier: Apache-2.0

// Draws /dashboard.json. Afterwards window.viewer.problems() returns the faults that a
// viewer would notice, and links() the link of each cell.
import { LoadingState } from '@grafana/data';
import {
  CustomVariable, EmbeddedScene, QueryVariable, SceneControlsSpacer, SceneDataTransformer, SceneGridItem, SceneGridLayout, sceneGraph,
  SceneQueryRunner, SceneTimePicker, SceneTimeRange, sceneUtils, SceneVariableSet, VariableValueSelectors, VizPanel,
} from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { ThemeContext } from '@grafana/data';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';

import { setUp, theme } from './grafana';
import { known, register } from './panels';
import { answered, Prometheus } from './prometheus';

const source = { type: 'prometheus', uid: 'prometheus' };

const stumbles: string[] = [];

// check returns options that the viewer does not know and would ignore.
function check(panel: any) {
  const used = Object.keys(panel.fieldConfig.defaults.custom ?? {});
  for (const override of panel.fieldConfig.overrides) {
    used.push(...override.properties.map((p: any) => p.id).filter((id: string) => id.startsWith('custom.')).map((id: string) => id.slice('custom.'.length)));
  }
  for (const option of used) {
    if (!(option in (known[panel.type] ?? {}))) {
      stumbles.push(`${panel.title}: the viewer knows no option ${option} of ${panel.type} panels`);
    }
  }
}

function panelOf(panel: any) {
  check(panel);
  const queries = new SceneQueryRunner({ datasource: source, queries: panel.targets.map((t: any) => ({ ...t, datasource: source })) });
  const { gridPos: at } = panel;
  return new SceneGridItem({
    x: at.x, y: at.y, width: at.w, height: at.h,
    body: new VizPanel({
      title: panel.title, description: panel.description, pluginId: panel.type, options: panel.options ?? {}, fieldConfig: panel.fieldConfig,
      $data: panel.transformations ? new SceneDataTransformer({ $data: queries, transformations: panel.transformations }) : queries,
    }),
  });
}

function variableOf(v: any, selected: Record<string, string[]>) {
  if (v.type === 'datasource') {
    return new CustomVariable({ name: v.name, label: v.label, query: 'Prometheus', value: 'Prometheus', text: 'Prometheus' });
  }
  return new QueryVariable({
    name: v.name, label: v.label, datasource: source, query: v.query, isMulti: v.multi, includeAll: v.includeAll, allValue: v.allValue,
    value: selected[v.name] ?? v.current?.value, text: selected[v.name] ?? v.current?.text,
  });
}

function sceneOf(dashboard: any, parameters: URLSearchParams) {
  const selected = JSON.parse(parameters.get('select') ?? '{}');
  const { time } = dashboard;
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: parameters.get('from') ?? time.from, to: parameters.get('to') ?? time.to }),
    $variables: new SceneVariableSet({ variables: dashboard.templating.list.map((v: any) => variableOf(v, selected)) }),
    controls: [new VariableValueSelectors({}), new SceneControlsSpacer(), new SceneTimePicker({})],
    body: new SceneGridLayout({ children: dashboard.panels.map(panelOf) }),
  });
}

// hasValue reports whether a panel shows at least one number.
function hasValue(data: any): boolean {
  return data.series.some((frame: any) => frame.fields.some((f: any) => f.type === 'number' && f.values.some(Number.isFinite)));
}

function problems(scene: any): string[] {
  const all = [...stumbles];
  for (const panel of sceneGraph.findAllObjects(scene, (o) => o instanceof VizPanel) as VizPanel[]) {
    const { title, _pluginLoadError } = panel.state as any;
    const data = sceneGraph.getData(panel).state.data;
    if (_pluginLoadError) {
      all.push(`${title}: ${_pluginLoadError}`);
    } else if (!data || !hasValue(data)) {
      all.push(`${title}: empty`);
    }
  }
  return all.concat(answered.filter((q) => q.error).map((q) => `${q.panel}: ${q.error} in ${q.expr}`));
}

// settled reports whether every panel has its answers.
function settled(scene: any): boolean {
  const panels = sceneGraph.findAllObjects(scene, (o) => o instanceof VizPanel) as VizPanel[];
  return panels.every((p) => p.getPlugin() && [LoadingState.Done, LoadingState.Error].includes(sceneGraph.getData(p).state.data?.state as any));
}

async function draw() {
  setUp();
  register();
  sceneUtils.registerRuntimeDataSource({ dataSource: new Prometheus(source.type, source.uid) });
  const dashboard = await (await fetch('/dashboard.json')).json();
  const scene = sceneOf(dashboard, new URLSearchParams(location.search));
  (window as any).viewer = { settled: () => settled(scene), problems: () => problems(scene), answered };
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <MemoryRouter>
        <div style={{ padding: 8, background: theme.colors.background.canvas, minHeight: '100vh' }}>
          <h3>{dashboard.title}</h3>
          <scene.Component model={scene} />
        </div>
        <PortalContainer />
      </MemoryRouter>
    </ThemeContext.Provider>,
  );
}

draw().catch((err) => { stumbles.push(String(err)); throw err; });
