"""Long stacks: time and memory by number of frames, two workers against one, a run killed often.

    .venv/bin/python tests/benchmarks/frames.py [--only size workers kills] [--keep]

Each part runs in processes of its own, with one thread a worker. The stacks are simulated and lie
on disk as .zspy, one chunk a frame. `--keep` writes the results into ``data/frames.json``, which
the page on long stacks reads; run data/recipes/register.py after it.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "data" / "frames.json"
DRIFT_PX = (0.12, -0.08)  # a frame: small, so that 200 frames still show one field
SIZES, SEED = (20, 200), 8801
KEPT = ("positions", "sd", "seen")
PACKAGES = ("numpy", "torch", "hyperspy", "dask", "zarr")


def write_stack(path: Path, count: int, side: int) -> Path:
    """Simulated frames on disk, made and written one at a time."""
    import dask
    import dask.array as da
    from hyperspy.signals import Signal2D

    from helpers.simulate.scan import Scan, scan_frame
    from helpers.simulate.specimen import single_crystal

    specimen, scan = single_crystal(shape=(side, side), seed=SEED), Scan(drift_px=DRIFT_PX)
    made = [dask.delayed(scan_frame)(specimen, n, scan, SEED + n) for n in range(count)]
    frames = [da.from_delayed(one, (side, side), np.uint16) for one in made]
    signal = Signal2D(da.stack(frames)).as_lazy()
    signal.axes_manager.signal_axes.set(scale=0.02, units="nm")
    with dask.config.set(scheduler="synchronous"):
        signal.save(path, chunks=(1, side, side))
    return path


def whole_way(stack: str, folder: str) -> dict:
    """Segment, locate, cut, train and encode one stack; the child's own peak memory."""
    from helpers import RVAE, FrameStore, frames, load_image, process_stack
    from helpers.device import one_thread
    from helpers.timing import peak_memory_gib

    signal, seconds, started = load_image(stack, lazy=True), {}, time.perf_counter()

    def done(step: str) -> None:
        seconds[step] = time.perf_counter() - started - sum(seconds.values())

    frames._prepare(Path(folder), signal, None, False, True, False)
    done("align, find columns, choose window")
    store = FrameStore(folder)
    with one_thread():  # as process_stack does
        frames._each_frame(frames._segment, "", signal.data, store, None)
    done("segment")
    process_stack(signal, folder, progress=False)
    done("locate and cut")
    model = RVAE(store.basis.window_px).fit(store, progress=False)
    done("train")
    store.encode(model)
    done("encode")
    halves = sum(halves_of(Path(folder) / name) for name in ("peaks", "positions"))
    return {
        "frames": len(store.frames),
        "columns": int(np.isfinite(store.group["angle"][:]).sum()),
        "seconds": {name: round(s, 1) for name, s in seconds.items()},
        "seconds_a_frame_first_and_second_half": halves.round(3).tolist(),
        "peak_gib": round(peak_memory_gib(), 3),
        "store_mb": round(
            sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6
        ),
    }


def halves_of(array: Path) -> np.ndarray:
    """Mean seconds from chunk to chunk in the first and in the second half of a series."""
    gaps = np.diff(np.sort([chunk.stat().st_mtime for chunk in array.glob("[0-9]*")]))
    return np.array([half.mean() for half in np.array_split(gaps, 2)])


def with_workers(stack: str, folder: str) -> dict:
    """Seconds of the part by frames with one and with two worker processes, alternating."""
    from distributed import Client, LocalCluster

    from helpers import load_image, process_stack

    signal = load_image(stack, lazy=True)
    store, seconds = process_stack(signal, folder, progress=False), {1: [], 2: []}
    for _ in range(3):
        for workers, times in seconds.items():
            with (
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None
                ) as cluster,
                Client(cluster) as client,
            ):
                client.run(__import__, "helpers.stack.process")  # the import is not the work
                store.group["state"][:] = ""
                started = time.perf_counter()
                process_stack(signal, folder, client=client, progress=False)
                times.append(round(time.perf_counter() - started, 2))
    ratio = float(np.median(np.array(seconds[1]) / np.array(seconds[2])))
    return {"seconds": seconds, "ratio": round(ratio, 2), "ceiling": round(ceiling(), 2)}


def ceiling() -> float:
    """The same ratio for a loop that shares nothing: what two cores of this machine give now."""
    loop, times = "for number in range(20_000_000): pass", {1: [], 2: []}
    for _ in range(3):
        for count, spent in times.items():
            started = time.perf_counter()
            running = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
            [one.wait() for one in running]
            spent.append(time.perf_counter() - started)
    return float(np.median(2 * np.array(times[1]) / np.array(times[2])))


def go_on(stack: str, folder: str) -> dict:
    """Begin a run, or go on with one, as a user does: the same call again."""
    from helpers import RVAE, load_image, process_stack

    store = process_stack(load_image(stack, lazy=True), folder, progress=False)
    store.encode(RVAE(store.basis.window_px).fit(store, progress=False))
    return {}


def kills(stack: str, folder: str) -> dict:
    """Kill a run ten times at random moments; is the table that of a run left alone?"""
    from helpers import RVAE, FrameStore, load_image, process_stack

    alone = process_stack(load_image(stack, lazy=True), f"{folder}.alone", progress=False)
    rng, killed = np.random.default_rng(SEED), 0
    command = [sys.executable, __file__, "--child", "go_on", stack, folder]
    while killed < 10:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(4, 20))
        running.kill()
        killed += running.wait() == -signal.SIGKILL
        if Path(folder).exists():
            done = FrameStore(folder).group["state"][:]
            print({str(state): int(np.sum(done == state)) for state in set(done)}, flush=True)
            if killed < 10 and (done == "done").all():
                shutil.rmtree(folder)  # and from the beginning
    store = process_stack(load_image(stack, lazy=True), folder, progress=False)
    latents = []
    for one in (alone, store):
        one.encode(RVAE(one.basis.window_px).fit(one, progress=False))
        latents.append(one.group["latent"][:])
    equal = [
        one.tobytes() == other.tobytes()
        for one, other in ((alone.group[n][:], store.group[n][:]) for n in KEPT)
    ]
    return {
        "killed": killed,
        "positions_equal_to_the_byte": all(equal),
        "largest_difference_of_latents": float(np.nanmax(np.abs(latents[0] - latents[1]))),
    }


def in_child(part: str, *arguments: str) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", __file__, "--child", part, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=("size", "workers", "kills"))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--child", nargs="+")
    options = parser.parse_args()
    if options.child:
        name, *arguments = options.child
        print(json.dumps(globals()[name](*arguments)))
        return
    wanted, found = options.only or ("size", "workers", "kills"), {}
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        if "size" in wanted:
            found["size"] = []
            for count in SIZES:
                stack = write_stack(place / f"{count}.zspy", count, 1024)
                found["size"].append(in_child("whole_way", str(stack), str(place / f"s{count}")))
                print(found["size"][-1], flush=True)
        if "workers" in wanted:
            stack = write_stack(place / "workers.zspy", 12, 1024)
            found["workers"] = in_child("with_workers", str(stack), str(place / "w"))
            print(found["workers"], flush=True)
        if "kills" in wanted:
            stack = write_stack(place / "kills.zspy", 40, 512)
            found["kills"] = in_child("kills", str(stack), str(place / "k"))
            print(found["kills"], flush=True)
    if options.keep:
        old = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        about = {
            "date": str(date.today()),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }
        about["versions"] = {name: version(name) for name in PACKAGES}
        RESULTS.write_text(json.dumps(old | found | about, indent=1) + "\n")


if __name__ == "__main__":
    main()
