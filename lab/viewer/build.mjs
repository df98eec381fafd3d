// SPDX-License-Identifier: Apache-2.0

// Bundles the page and its libraries into one file: dist/main.js.
import * as esbuild from 'esbuild';

await esbuild.build({
  absWorkingDir: import.meta.dirname,
  entryPoints: ['src/main.tsx'],
  outfile: 'dist/main.js',
  bundle: true,
  format: 'iife',
  platform: 'browser',
  target: 'es2022',
  jsx: 'automatic',
  minify: true,
  logLevel: 'error',
  mainFields: ['browser', 'module', 'main'],
  conditions: ['import', 'browser', 'module'],
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  loader: { '.svg': 'dataurl', '.png': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl' },
  alias: { 'react-router-dom-v5-compat': 'react-router-dom' },
});
