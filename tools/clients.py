"Clients of a server for its tests and its benchmark: load, malformed requests, memory"
import atexit, http.client, json, os, random, re, socket, subprocess, sys, threading, time
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent

class Served:
    "`hkd serve` in a process of its own, on a free port"
    def __init__(self, *words, cores=None, **env):
        path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
        prefix = [] if cores is None else ['taskset', '-c', cores]
        command = [*prefix, sys.executable, '-m', 'hkd.cli', 'serve', *map(str, words), '--port', '0']
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': path, **env})
        atexit.register(self.process.kill)   # does nothing once it has ended
        for line in self.process.stderr:
            if found := re.search(r'http://([\d.]+):(\d+);', line): break
        else: raise RuntimeError(line)
        self.host, self.port, self.stopping = found[1], int(found[2]), False

    def connect(self): return http.client.HTTPConnection(self.host, self.port, timeout=20)

    def ask(self, method, path, body=None, **headers):
        "(status, the object that came back) of one request"
        connection = self.connect()
        try:
            connection.request(method, path, json.dumps(body) if isinstance(body, (dict, list)) else body, headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally: connection.close()

    def predict(self, **body): return self.ask('POST', '/predict', body)
    def health(self): return self.ask('GET', '/health')[1]

    def memory(self):
        "(peak, now) of resident memory in MB"
        text = Path(f'/proc/{self.process.pid}/status').read_text()
        return tuple(int(re.search(rf'{k}:\s+(\d+)', text)[1])*1024/1e6 for k in ('VmHWM', 'VmRSS'))

    def loads(self, name):
        "Has the process loaded this library?"
        return name in Path(f'/proc/{self.process.pid}/maps').read_text()

    def terminate(self):
        "Send SIGTERM, once"
        if not self.stopping: self.process.terminate()
        self.stopping = True

    def stop(self):
        "Its exit code after SIGTERM, and what it printed"
        self.terminate()
        return self.process.wait(60), self.process.stderr.read()

def load(served, bodies, clients, requests=None, stop_after=None):
    "Milliseconds of each answer, and counts of (answered, refused connections, lost), with some clients at once"
    ms, counts, lock, done = [], dict(answered=0, closed=0, lost=0), threading.Lock(), threading.Event()
    def client(k):
        connection, rng = served.connect(), random.Random(k)
        for i in range(requests or 10**9):
            start, sent = time.perf_counter(), False
            try:
                if connection.sock is None: connection.connect()
                sent = True
                connection.request('POST', '/predict', rng.choice(bodies))
                reply = connection.getresponse()
                good = reply.status == 200 and json.loads(reply.read())['predictions']
            except ConnectionRefusedError:   # the port is closed: the server never had it
                with lock: counts['closed'] += 1
                return
            except (OSError, http.client.HTTPException, ValueError): good = False
            with lock:
                counts['answered' if good else 'lost'] += 1
                ms.append(1000*(time.perf_counter()-start))
                if stop_after and counts['answered'] == stop_after: done.set()
            if not good: connection.close()
    threads = [threading.Thread(target=client, args=[k]) for k in range(clients)]
    start = time.perf_counter()
    for t in threads: t.start()
    if stop_after:
        done.wait(120)
        served.terminate()
    for t in threads: t.join()
    return ms, counts, time.perf_counter()-start

# --- malformed requests ---

def raw(served, data, close=True):
    "The status of the answer to some bytes; None without an answer"
    with socket.create_connection((served.host, served.port), timeout=20) as s:
        try:
            s.sendall(data)
            if close: s.shutdown(socket.SHUT_WR)
        except OSError: pass   # it has answered already, and closed
        reply = b''
        try:
            while b'\r\n' not in reply and (part := s.recv(4096)): reply += part
        except OSError: pass
    found = re.match(rb'HTTP/1\.1 (\d+)', reply)
    return int(found[1]) if found else None

def http_bytes(body=b'', method='POST', path='/predict', length=None, headers=''):
    n = len(body) if length is None else length
    return f'{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {n}\r\n{headers}\r\n'.encode()+body

def _text(rng): return ''.join(chr(rng.choice([32, 97, 0x4e2d, 0x1f600, rng.randrange(1, 0xd800)])) for _ in range(rng.randrange(1, 40)))

def _json(rng):
    "Bytes that are not JSON"
    whole = json.dumps(dict(texts=[_text(rng) for _ in range(rng.randrange(1, 5))])).encode()
    return rng.choice([whole[:rng.randrange(len(whole))], whole+b'}', whole.replace(b'"', b"'"), b'['*rng.randrange(1, 50_000),
                       b'{"text": '+b'9'*rng.randrange(4400, 9000)+b'}', b'\xff\xfe'+whole, rng.randbytes(rng.randrange(1, 500))])

def _types(rng):
    "JSON of the wrong kind"
    bad = rng.choice([None, 3, 1.5, True, {}, {'txt': 'a'}, [], ['a'], ['a', 'b', 'c'], [1, 2], '', '  ', [['a', 'b'], 'c']])
    return json.dumps(rng.choice([bad, dict(text=bad), dict(texts=bad if bad != ['a'] and bad != ['a', 'b', 'c'] else 3), dict(texts=['good', bad]),
                                  dict(text='a', texts=['b']), dict(image='x'), dict(words='a'), dict(text='a', more=1)])).encode()

def _huge(rng):
    "Too many texts, too long a text, too large a body"
    return rng.choice([lambda: json.dumps(dict(texts=['a']*rng.randrange(65, 5000))).encode(),
                       lambda: json.dumps(dict(text='x'*rng.randrange(20_001, 10**6))).encode(),
                       lambda: b' '*rng.randrange(2**23+1, 2**24)])()

def malformed(rng, modality='text', image=b''):
    "(kind, bytes to send) of a request that must be refused"
    kinds = dict(
        json=lambda: http_bytes(_json(rng)), types=lambda: http_bytes(_types(rng)),
        huge=lambda: http_bytes(_huge(rng)) if rng.random() < .3 else http_bytes(b'x', length=rng.choice([10**9, 10**15])),
        binary=lambda: rng.randbytes(rng.randrange(1, 2000)).replace(b'\n', b'\0')+rng.choice([b'', b'\r\n\r\n']),
        path=lambda: http_bytes(b'{"text": "a"}', path='/'+rng.choice(['', 'predic', 'predict/1', '..', '%00', 'x'*5000])),
        method=lambda: http_bytes(b'{"text": "a"}', rng.choice(['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'BREW'])),
        image=lambda: http_bytes(rng.randbytes(rng.randrange(1, 3000)), headers='Content-Type: image/png\r\n'),
        truncated=lambda: http_bytes(b'{"text": "a fine', length=rng.randrange(17, 5000)),
        headers=lambda: rng.choice([b'POST /predict HTTP/1.1\r\n', b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
                                    b'POST /predict HTTP/9.9\r\n\r\n', b'POST /predict HTTP/1.1\r\n: x\r\n\r\n', b'POST\r\n\r\n',
                                    b'POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
                                    b'POST /predict HTTP/1.1\r\nX: '+b'y'*20_000]))
    if modality == 'image':
        cut = lambda: image[:rng.randrange(8, len(image)-20)]
        kinds['image'] = lambda: http_bytes(cut(), headers='Content-Type: image/png\r\n')
    kind = rng.choice(list(kinds))
    return kind, kinds[kind]()
