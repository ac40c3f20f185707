"""Run JavaScript in an exported page in headless Chromium, and list what the page asked of the network.

Nothing but Chromium is needed. Each name but 127.0.0.1 is unknown to it, so that a page that works here works offline."""
import json, os, re, shutil, subprocess, tempfile, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FRAME = '''<!DOCTYPE html><meta charset="utf-8"><title>test</title>
<iframe id="page" src="/index.html" style="width:%dpx;height:800px;border:0"></iframe>
<script type="module">
const frame = document.getElementById('page');
const script = async (page, doc) => { %s };
const send = found => fetch('/__done__', { method: 'POST', body: JSON.stringify(found) });
try {
  if (frame.contentDocument?.readyState !== 'complete' || frame.contentWindow.location.href === 'about:blank')
    await new Promise(done => frame.addEventListener('load', done));
  await send({ value: await script(frame.contentWindow, frame.contentDocument) });
} catch (error) { await send({ error: String(error?.stack ?? error) }); }
</script>'''

class _Handler(SimpleHTTPRequestHandler):
    "A folder's files; the frame with the script; files from memory; and where the result goes"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {'.mjs': 'text/javascript', '.wasm': 'application/wasm'}
    def do_GET(self):
        data = self.server.extra.get(self.path)
        if data is None: return super().do_GET()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html' if self.path == '/__test__' else 'application/octet-stream')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_POST(self):
        self.server.found.append(json.loads(self.rfile.read(int(self.headers['Content-Length']))))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()
    def log_message(self, *args): pass

class _Server(ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *args): pass   # Chromium goes away when the script is done

def chromium():
    "Chromium's command; None where it isn't installed"
    names = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
    return os.environ.get('CHROMIUM') or next(filter(None, map(shutil.which, names)), None)

def _command(profile, log, port):
    quiet = ('background-networking', 'component-update', 'sync', 'default-apps', 'extensions', 'gpu', 'dev-shm-usage',
             'domain-reliability', 'client-side-phishing-detection', 'breakpad')
    return [chromium(), '--headless', '--no-sandbox', '--no-first-run', '--remote-debugging-port=0',
            *(f'--disable-{name}' for name in quiet), '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
            f'--user-data-dir={profile}', f'--log-net-log={log}', f'http://127.0.0.1:{port}/__test__']

def _asked(log, origin):
    "Addresses that pages of an origin asked for, whether an answer came or not"
    lines = log.read_text(errors='replace').splitlines() if log.is_file() else []
    ours = [l for l in lines if f'"initiator":"{origin}"' in l]
    return sorted({u for l in ours for u in re.findall(r'"url":"([^"]+)"', l)})

def run_page(
    folder,        # with index.html
    script,        # the body of an async function of `page` (its window) and `doc`, which returns JSON
    extra=None,    # '/name' -> bytes that the script can fetch
    width=800,     # of the page, in pixels
    timeout=180,   # seconds
):                 # (what the script returns, the addresses asked for)
    "Open a folder's page in Chromium and run a script in it"
    server = _Server(('127.0.0.1', 0), partial(_Handler, directory=str(folder)))
    port = server.server_address[1]
    server.extra = {'/__test__': (FRAME % (width, script)).encode(), **(extra or {})}
    server.found, server.done = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        log = Path(tmp)/'log.json'
        process = subprocess.Popen(_command(Path(tmp)/'profile', log, port), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            if not server.done.wait(timeout): raise TimeoutError(f'no result in {timeout} s')
        finally:
            process.terminate()
            try: process.wait(20)
            except subprocess.TimeoutExpired: process.kill()
            server.shutdown()
            server.server_close()
        asked = _asked(log, f'http://127.0.0.1:{port}')
    found, = server.found
    if 'error' in found: raise RuntimeError(found['error'])
    return found['value'], [u.replace(f'http://127.0.0.1:{port}', '') for u in asked]
