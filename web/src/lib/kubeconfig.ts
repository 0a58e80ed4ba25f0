// Reads names and servers of a pasted kubeconfig, for a preview. Credentials are not looked at and never leave the page.
// Understands YAML as kubectl writes it, and JSON.

export interface Found {
  name: string;
  server: string;
  /** PEM, where the file carries one. */
  ca?: string;
  serverName?: string;
}

function unquote(text: string): string {
  const value = text.trim().replace(/\s+#.*$/, '');
  return /^(".*"|'.*')$/.test(value) ? value.slice(1, -1) : value;
}

function pem(base64: string | undefined): string | undefined {
  if (!base64) return undefined;
  try {
    const decoded = atob(base64.replace(/\s/g, ''));
    return decoded.includes('BEGIN CERTIFICATE') ? decoded : undefined;
  } catch {
    return undefined;
  }
}

interface Raw {
  name?: string;
  server?: string;
  'certificate-authority-data'?: string;
  'tls-server-name'?: string;
}

function fromJson(text: string): Raw[] {
  const parsed = JSON.parse(text) as { clusters?: { name?: string; cluster?: Raw }[] };
  return (parsed.clusters ?? []).map((entry) => ({ ...entry.cluster, name: entry.name }));
}

function fromYaml(text: string): Raw[] {
  const found: Raw[] = [];
  let inside = false;
  for (const line of text.split(/\r?\n/)) {
    if (/^\S/.test(line) && !line.startsWith('- ')) inside = /^clusters:\s*$/.test(line);
    if (!inside || /^clusters:/.test(line)) continue;
    if (/^\s*-\s/.test(line)) found.push({});
    const match = /^[\s-]*(name|server|certificate-authority-data|tls-server-name):\s*(.+)$/.exec(line);
    const current = found.at(-1);
    if (match && current) current[match[1] as keyof Raw] = unquote(match[2]!);
  }
  return found;
}

/** A name that the registry takes: lower case, digits and dashes, 3 to 63 of them. */
export function fittingName(name: string): string {
  const plain = name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 63).replace(/-+$/, '');
  return plain.length >= 3 ? plain : `cluster-${plain || '1'}`;
}

export function readKubeconfig(text: string): Found[] {
  const trimmed = text.trim();
  const raw = trimmed.startsWith('{') ? fromJson(trimmed) : fromYaml(trimmed);
  return raw
    .filter((one) => one.server)
    .map((one) => ({ name: fittingName(one.name ?? ''), server: one.server!, ca: pem(one['certificate-authority-data']), serverName: one['tls-server-name'] }));
}
