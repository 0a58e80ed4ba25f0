import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type UserConfig } from 'vite';

// Two files with hashes in their names; nothing inline, so that the content security policy needs no exception.
export default defineConfig(({ mode }) => ({
  // The unit tests take the browser's Svelte too, whose effects run.
  resolve: mode === 'test' ? { conditions: ['browser'] } : {},
  plugins: [svelte({ configFile: false })],
  build: {
    target: 'es2023',
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 600,
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8080', '/metrics': 'http://127.0.0.1:8080', '/health': 'http://127.0.0.1:8080' } },
  test: { environment: 'node', css: true, include: ['src/**/*.test.ts'] },
}) as UserConfig);
