// SPDX-License-Identifier: Apache-2.0

// The setup of Grafana's own application that a dashboard needs: registries, services
// and the theme.
import * as data from '@grafana/data';
import { config, setAppEvents, setPluginImportUtils, setRunRequest, setTemplateSrv } from '@grafana/runtime';
import { of } from 'rxjs';
import { catchError, map } from 'rxjs/operators';

export const theme = data.createTheme({ colors: { mode: new URLSearchParams(location.search).get('theme') === 'light' ? 'light' : 'dark' } });

// The options that every panel type has.
const standardOptions = [
  'unit', 'min', 'max', 'decimals', 'displayName', 'color', 'thresholds', 'mappings', 'noValue', 'links', 'filterable', 'description',
];

// option describes one for the registry of field options. Editors are not shown.
function option(id: string): any {
  return {
    id, path: id, name: id, description: '', settings: {},
    editor: () => null, override: () => null, process: (value: any) => value, shouldApply: () => true, getItemsCount: () => 0,
  };
}

// custom are the options of one panel type with their defaults.
export function custom(defaults: Record<string, any>): any {
  return {
    useCustomConfig(builder: any) {
      for (const [path, defaultValue] of Object.entries(defaults)) {
        builder.addCustomEditor({ ...option(path), defaultValue });
      }
    },
  };
}

export function setUp() {
  (config as any).theme2 = theme;
  (config as any).theme = theme.v1;
  setAppEvents(new data.EventBusSrv() as any);
  data.standardFieldConfigEditorRegistry.setInit(() => standardOptions.map(option));
  data.standardEditorsRegistry.setInit(() => ['number', 'text', 'select', 'boolean', 'radio', 'slider', 'color', 'unit'].map(option));
  const transformers = new Map(Object.values(data.standardTransformers).map((t: any) => [t.id, t])); // some are listed twice
  data.standardTransformersRegistry.setInit(() => [...transformers].map(([id, t]) => ({
    id, name: t.name, transformation: async () => t, editor: () => null, imageDark: '', imageLight: '',
  })) as any);
  setPluginImportUtils({
    importPanelPlugin: async (id: string) => { throw new Error(`the viewer cannot draw panels of type ${id}`); },
    getPanelPluginFromCache: () => undefined,
  } as any);
  setTemplateSrv({ replace: (text: string) => text, getVariables: () => [], containsTemplate: () => false, updateTimeRange() {} } as any);
  setRunRequest(((source: any, request: any) => source.query(request).pipe(
    map((answer: any) => ({ state: data.LoadingState.Done, series: answer.data, timeRange: request.range, request })),
    catchError((err: any) => of({ state: data.LoadingState.Error, series: [], timeRange: request.range, errors: [{ message: String(err.message) }] })),
  )) as any);
}
