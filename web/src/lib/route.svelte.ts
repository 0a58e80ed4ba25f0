// Where the dashboard is: path and query of the URL, nothing beside it, so that every view can be sent as a link.

class Route {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));

  constructor() {
    window.addEventListener('popstate', () => this.read());
  }

  private read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  get(key: string, fallback = ''): string {
    return this.query.get(key) ?? fallback;
  }

  /** Changes parameters; an empty value leaves one out. Typing replaces the entry of the browser's history. */
  set(changes: Record<string, string>, replace = true): void {
    const query = new URLSearchParams(this.query);
    for (const [key, value] of Object.entries(changes)) {
      if (value === '') query.delete(key);
      else query.set(key, value);
    }
    const search = query.toString();
    const url = this.path + (search ? `?${search}` : '');
    history[replace ? 'replaceState' : 'pushState'](null, '', url);
    this.query = query;
  }

  go(url: string): void {
    history.pushState(null, '', url);
    this.read();
    window.scrollTo(0, 0);
  }

  /** A link of the dashboard was clicked plainly: no new page. */
  follow = (event: MouseEvent): void => {
    const link = (event.target as Element | null)?.closest?.('a');
    const modified = event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
    if (!link || modified || event.defaultPrevented || link.target || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || link.pathname.startsWith('/docs') || link.pathname.startsWith('/api')) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  };
}

export const route = new Route();
