"""What the pages claim of their results, with the bounds; ``test_claims.py`` judges by it.

No page holds a tolerance: it prints its numbers, and another processor, which rounds otherwise,
still runs it to the end. A pattern finds a number in what the page printed; ``N`` stands for the
number. Bounds have the unit that is printed, and are not reached: 97.0 % is not over 97.
"""

from itertools import pairwise
from math import inf
from typing import NamedTuple

N = r"([-+−]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)"


class Claim(NamedTuple):
    """Each number found lies between ``low`` and ``high``."""

    pattern: str
    low: float = -inf
    high: float = inf
    count: int = 1  # so many numbers are found
    why: str = ""


class Order(NamedTuple):
    """One number of the page is larger than ``factor`` times another plus ``margin``."""

    larger: str
    smaller: str
    factor: float = 1.0
    margin: float = 0.0
    why: str = ""


class Words(NamedTuple):
    """The page prints this: an answer that is a word, a kind or a list, not a measure."""

    pattern: str
    why: str = ""


def falling(*patterns: str, why: str = "") -> list[Order]:
    """Of the numbers found by the patterns each is larger than the next."""
    return [Order(*pair, why=why) for pair in pairwise(patterns)]


def near(one: str, other: str, within: float, why: str = "") -> list[Order]:
    """Two numbers of the page differ by less than ``within``."""
    return [Order(*pair, margin=-within, why=why) for pair in ((one, other), (other, one))]


def alike(one: str, other: str, low: float, high: float, why: str = "") -> list[Order]:
    """One number is more than ``low`` times, and less than ``high`` times, another."""
    return [Order(one, other, low, why=why), Order(other, one, 1 / high, why=why)]


CLAIMS: dict[str, list[Claim | Order | Words]] = {
    "00_check_conventions": [
        Claim(rf"over a quarter turn: {N} times", 3),
        Claim(rf"lattice parameter a: {N} nm", 0.3811, 0.3889, why="0.385 nm within 1 %"),
    ],
    "solutions/00_check_conventions": falling(
        *(rf"'{px} px': '{N} degrees'" for px in (24, 40, 64)),
        why="a larger window tolerates a smaller turn",
    ),
    "01_load_stack": [
        Words(r"\nscale 1 (?!nm)", why="without a unit nothing is guessed"),
        Words(r"\nscale 0\.02 nm\n", why="pixel_size_nm= sets what the file has lost"),
        Claim(rf"angle between a and c: {N} degrees", 89.5, 90.5),
        Claim(rf"\na = {N} nm at", 0.3811, 0.3889, why="0.385 nm within 1 %"),
        Claim(rf" c = {N} nm at", 1.995, 2.035, why="2.015 nm within 1 %"),
        Claim(rf"tiles: variance = {N} × mean", 0.95, 1.05),
        Claim(rf"largest error of a shift: {N} px", high=0.1),
        Claim(rf"per nm falls by {N};", 2.83, 3.25, why="more than √8, by less than 15 %"),
        *alike(rf"jitter along the lines: {N} px rms", rf"px rms, put in: {N} px", 0.8, 1.2),
        Words(
            r"rows (\d+) to .*, columns (\d+) to .*\nframe 0 is moved by \[ *\1\. +\2\.\] px",
            why="the mean begins where the area common to all frames does",
        ),
    ],
    "solutions/01_load_stack": [
        Claim(rf"the pixel is {N} nm", 0.0198, 0.0202),
        Claim(rf"gain {N}, offset", 2.85, 3.15),
        Claim(rf"gain .*, offset {N}", 99, 101),
    ],
    "02_segment_image": [
        Order(
            rf"measured spacing: {N} px in the mean",
            rf"distance to the nearest column: {N} to",
            factor=0.95,
        ),
        Order(
            rf"distance to the nearest column: .* to {N} px",
            rf"measured spacing: {N} px in the mean",
            factor=1 / 1.05,
        ),
        Claim(rf"F1, (?:mean of 8|one frame): {N}", 0.99, count=2),
        Claim(rf"columns in the vacuum: \d+ by the LoG, {N} by the network", high=6),
        Claim(rf"F1 of the network that ships, .*: {N}", 0.98, count=3),
        Order(rf"found, {N} there;", rf"{N} found, \d+ there;", 1.25, why="a moiré defeats it"),
        Words(r"noise: 0 columns, largest probability 0\. Warning: \w"),
        Words(r"inverted: \d+ columns, largest probability [\d.e-]+ Warning: \w"),
    ],
    "03_locate_columns": [
        Claim(rf"(?:mean of 8 frames|one frame): F1 {N}; rms", 0.99, count=2),
        Claim(rf"one frame: F1 .*\n    together {N} px", high=0.4),
        Claim(
            rf"error over bound: \[ *\S+ +\S+ +{N} +{N} +{N} +{N} +{N} *\]",
            high=1.15,
            count=5,
            why="from a dose of 20 on",
        ),
        *(
            Order(
                rf"pulls of mean of 8 frames, {axis} the lines: sd {N}",
                rf"pulls of one frame, {axis} the lines: sd {N}",
                why="averaging removes the noise, not what else displaces a column",
            )
            for axis in ("across", "along")
        ),
        Claim(rf"one frame: sd of the pulls {N} across the lines, {N} along", high=1.15, count=2),
        Claim(
            rf"mean of 8 frames: sd of the pulls {N} across the lines, {N} along", high=1.6, count=2
        ),
        Order(rf"\nalong the lines: scatter {N} pm", rf"\nacross the lines: scatter {N} pm"),
        Order(rf"\nacross the lines: scatter {N} pm", rf"stated by the fit: {N} pm", 0.9),
        Claim(rf"saved and read back: {N} px apart", high=1e-3, why="the digits of the table"),
    ],
    "solutions/03_locate_columns": [
        Order(
            rf"true error grows by {N} across the lines",
            rf"true error grows by .* across the lines, {N} along",
            why="jitter does not depend on the dose",
        ),
        Order(rf"lines, before: {N},", rf" after: {N},"),
        Order(rf"lines, before: .*, {N} px", rf" after: .*, {N} px"),
    ],
    "04_identify_columns": [
        Claim(rf"all columns: {N}% right", 97),
        Claim(rf"{N}% of the columns of one frame have", 95),
        Order(rf"stand out; {N} of \d+ were made odd", rf"; \d+ of {N} were made odd", 0.8),
        Claim(rf"lattice_nm +0\.38.*\nscale_error +{N}\n", -0.01, 0.01),
        Words(r"lattice_nm +0\.38.*\nscale_error +\S+\n(?!!)", why="a good image: no warning"),
        Words(r"doubtful +[1-9]\d*\n(?:\w+ .*\n)*! .*header", why="few electrons, a wrong header"),
        Words(r"\ninverted: \w.*\n\nsaturated: \w.*\n\ntoo coarse: \w.*\n\nnoise: \w"),
    ],
    "solutions/04_identify_columns": [
        Claim(rf"1/1 of the dose: {N} by fit, {N} by network", 0.95, count=2),
        Claim(rf"dose 40: {N}% of the silicon found, {N}% of", 90, count=2),
    ],
    "05_choose_window": [
        Order(rf"whole pixel centres: .* by {N} counts", rf"sub-pixel centres: .* by {N} counts"),
        *falling(*(rf"odd orders at 40 px: .*{site} {N}%" for site in ("Sr2", "Fe", "Sr1"))),
        *falling(
            *(rf"\n +{px} +\S+ +{N}%.*°" for px in (16, 24, 32, 40, 50, 64, 80)),
            why="a larger window leaves the image sooner",
        ),
        *falling(
            *(rf"\n +{px} +\S+ .*% +{N}° " for px in (16, 24, 32, 40, 50, 64, 80)),
            why="more of the crystal votes on the angle",
        ),
        Order(rf"\n32 px: expected .* measured {N}%", rf"\n24 px: expected .* measured {N}%"),
        Order(rf"\n40 px: expected .* measured {N}%", rf"\n64 px: expected .* measured {N}%"),
        *(
            order
            for px in (24, 32, 40, 64)
            for order in near(
                rf"\n{px} px: expected {N}%", rf"\n{px} px: expected .* measured {N}%", 3
            )
        ),
        Order(rf"recommended \d+ px: {N}%;", rf"; best \d+ px: {N}%", margin=-3),
        Claim(rf"short of the best size, median of a panel: {N}% of", high=3),
    ],
    "solutions/05_choose_window": [
        Claim(rf"angle error at 40 px: {N} times", 1.5, 4, why="√8 is expected"),
        Order(
            rf"recommended {N} px, for the mean",
            rf"px, for the mean {N} px",
            why="noise asks for a larger window",
        ),
        *(
            Order(
                rf"\n{px} px: {N}% of the columns lost", rf"\n{px} px: .* in the whole image {N}%"
            )
            for px in (24, 32, 40, 50, 64, 80)
        ),
    ],
    "06_train_rvae": [
        Order(
            rf"loss of the first pass {N} nats",
            rf"nats, of the last {N} nats",
            margin=100,
            why="it has learned",
        ),
        Order(rf"counting noise of 8 frames: {N} counts", rf"left over: {N} counts"),
        Order(rf"within 16 px of an odd column: {N}", rf"median residual: {N};", 1.5),
        Claim(
            rf"largest deviation: angle {N} rad, latents {N}",
            high=1e-3,
            count=2,
            why="a quarter turn is exact but for rounding",
        ),
        Claim(rf"Fe and Sr2: median error .*°, {N}% within 1°", 97),
        Words("same seed, same angles: True"),
        Words("loaded, same latents: True"),
        Claim(rf"kind \d by the truth: {N}%", 99, count=3, why="a kind is a site"),
        Words(r"% Fe\n(.*\n)*.*% Sr2\n(.*\n)*.*% Sr1\n", why="each site is one kind"),
        Words(r"kind 3: .* angle known modulo 180°", why="Sr1 repeats after half a turn"),
        Claim(rf"kind [12]: .* angle known modulo {N}°", 359, 361, 2),
        Claim(
            rf"angles differ by {N}°",
            high=0.1,
            count=2,
            why="another seed, another machine: the same answer",
        ),
        Claim(rf"sure, {N}% are over 5° apart", high=1, count=2),
        Claim(rf"canonical correlations .*: {N}, {N}\n", 0.97, count=4),
        Claim(rf"of the same kind: {N}%", 99, count=2),
    ],
    "solutions/06_train_rvae": [
        Order(rf" beta = 1: .* KL {N} nats", rf"beta = 10: .* KL {N} nats"),
        Order(rf"beta = 10: .* mean error {N};", rf" beta = 1: .* mean error {N};"),
        Order(rf"\nleft over {N} counts, before", rf"\nleft over .* counts, before {N}"),
    ],
    "07_read_angles": [
        Words(r"Fe +order 1, at a tolerance of 0\.5 % 1;"),
        Words(
            r"Sr1 +order \d, at a tolerance of 0\.5 % 2;", why="whether it is 2 or 4 is not sure"
        ),
        Words(r"Sr2 +order 1, at a tolerance of 0\.5 % 1;"),
        Claim(rf"the c axis as measured lies {N}° from", -0.5, 0.5),
        Claim(rf"Sr1 +order \[2\], .* two answers in {N}%", 50, why="noise favours one, else"),
        Words(r"Fe +order \[1\], (.*\n)*Sr2 +order \[1\], "),
        Claim(rf"median error of all columns: {N}°", high=0.2),
        Claim(rf"sign of the layer right for {N}%", 97),
    ],
    "solutions/07_read_angles": [
        Claim(rf"latents by {N} at most", high=1e-2),
        Claim(rf"none misses 90° by more than {N} rad", high=1e-3),
    ],
    "08_read_latents": [
        Claim(rf"together: site {N}%", 97),
        Claim(rf"together: site .*%, thickness R² {N}", 0.97),
        Words(
            r"site best read from latent (\d), thickness from latent (?!\1)\d", why="one for each"
        ),
        Claim(rf"seed 1: site {N}%", 97),
        Claim(rf"seed 1: site .*%, thickness R² {N}", 0.97),
        Claim(rf"angles differ by {N}°", high=0.1),
        Claim(rf"canonical correlations .*: {N}, {N}\n", 0.97, count=2),
        Claim(rf"of the same kind: {N}%", 99),
    ],
    "09_reproduce_study": [
        Claim(rf"both: site {N}%, thickness R² .*; sign {N}%", 97, count=2),
        Claim(rf"both: site .*%, thickness R² {N};", 0.97),
        *falling(
            *(rf"\n{px} px: .*\n +right of all columns {N}%" for px in (24, 40, 64)),
            why="a large window loses the border",
        ),
        Claim(rf"right of all columns {N}%", 80, count=3),
        *(
            Order(
                rf"\n{one} px: .*\n.*angle off by {N}°", rf"\n{two} px: .*\n.*angle off by {N}°", by
            )
            for one, two, by in ((24, 40, 2), (40, 64, 1.5))
        ),
        Claim(rf"told from other Fe by the latents: {N}%", 80),
        Order(
            rf"Sr1 of the block: order 2, residual {N}",
            rf"regular Fe: .* residual {N},",
            1.1,
            why="its side is lost, and the residual says so",
        ),
        Order(rf"middle Fe of the block: .* residual {N},", rf"regular Fe: .* residual {N},", 1.1),
        *(
            Claim(
                rf"\n{rows}(?:\n.*){{2}}\n{N} {N} {N} {N}\n",
                *(-0.2, 0.2, 4),
                why="the angle follows no nuisance",
            )
            for rows in ("all columns", "Fe alone")
        ),
        Claim(rf"seed \d: site {N}%, sign {N}%", 95, count=6),
        Claim(rf"seed \d: site .* thickness R² {N}, from", 0.95, count=3),
        Claim(
            rf"from the better latent alone {N}", 0.95, count=3, why="one latent is the thickness"
        ),
        Claim(rf"angles differ by {N}°", high=0.1, count=3),
        Claim(rf"canonical correlations .*: {N}, {N}\n", 0.97, count=6),
    ],
    "solutions/09_reproduce_study": [
        Order(rf"\n40 px: site {N}%;", rf"24 px: site {N}%;"),
        Order(rf"\n40 px: .* sign of Fe {N}%", rf"24 px: .* sign of Fe {N}%"),
        Claim(rf"24 px: .* sign of Fe {N}%", 80),
        Claim(rf"one latent: site {N}%", 70),
        Claim(rf"one latent: site .*%, thickness R² {N}", 0.7),
    ],
    "10_transfer_model": [
        Claim(
            rf"\ndose \d+, model +.*\| +{N} ",
            *(0.85, 1.15, 4),
            why="a residual over the noise of its own image stays 1",
        ),
        Claim(rf"\ndose 31, stack +{N} %", 3, 20, why="worth little, and the residual is silent"),
        Claim(rf"\ndose 31, stack .*\| +{N} ", high=1.15, why="the residual is silent"),
        Claim(rf"with stack no latent moves by more than {N}", high=0.01),
        Claim(rf"\ngain, stack +{N} %", high=2),
        Claim(rf"\ngain, model .*\| +{N} ", 5),
        Claim(rf"\nturned +{N} %", high=1),
        Claim(rf"\nturned +\S+ % +{N}°", high=0.3),
        Claim(rf"\n8-16 nm, model .*° +{N} nm", -0.5, 0.5),
        Claim(rf"\n8-16 nm, stack .*° +{N} nm", 5),
        Claim(rf"\n\[110\] +{N} %", 60, why="no reading is worth anything"),
        Order(rf"99 % of \[110\] above {N}", rf"99 % of turned lie below {N},", 1.5),
        Claim(rf"\nfocus [048] nm, stack +{N} %", high=3, count=3),
        Claim(rf"\nfocus (?:16|20) nm, stack +{N} %", 25, count=2),
    ],
    "solutions/10_transfer_model": [
        Claim(rf"0\.022 nm: residual {N} of", 2.5),
        Claim(rf"stretched: residual {N} of", high=1.3),
        Claim(rf"stretched: .* sites {N}% right", 98),
        Claim(rf"\[1[01]0\]: residual {N},", high=1.2, count=2),
        Claim(rf"\[1[01]0\]: residual .* sites {N}% right", 97, count=2),
        Claim(rf"projection right for {N}%", 97),
    ],
    "11_compare_models": [
        Words(
            r"orders of the components: ([1-9]\d*) \1 (?:\d+ )*0(?: |\n)",
            why="a pair of one order leads; thickness has none",
        ),
        Claim(rf"share of m=\d+ in the first two: {N}%, {N}%", 95, count=2),
        Claim(rf"overlap with the turned copy {N};", 0.95),
        Claim(rf"ring against truth: {N}°", high=5),
        Claim(rf"median error .*°, within 1°: {N}%", 97),
        Claim(rf"PCA, 8 scores +turn R² +{N},", 0.9),
        Claim(rf"PCA, 8 scores .* site +{N}%", 90),
        Claim(rf"plain VAE, 2 +turn R² +{N},", 0.9),
        Claim(rf"plain VAE, 2 .* site +{N}%", high=90),
        Claim(rf"rVAE, 2 +turn R² +{N},", high=0.1, why="the latents do not know the turn"),
        Claim(rf"rVAE, 2 .* site +{N}%", 97),
        Claim(rf"rVAE, 2 .* thickness R² {N}", 0.9),
        Claim(rf"\nratio {N}\n", 30, why="of the times of one pass"),
        Claim(rf"\nrVAE: within 1° {N}%", 90),
        Claim(rf"coordinate VAE: within 1° {N}%", high=10),
        Claim(rf"\nrVAE: within .* mean direction {N}", high=0.2),
        Claim(rf"coordinate VAE: within .* mean direction {N}", 0.7),
        Order(rf"contrast: .* rVAE {N} counts", rf"contrast: coordinate VAE {N} counts", 2),
    ],
    "solutions/11_compare_models": [
        Claim(rf"turn R² {N}, site", 0.9),
        Claim(rf"turn R² .*, site {N}%", 90),
        Claim(rf"passes: 10, median error {N}°", high=15),
    ],
    "12_map_grains": [
        Claim(rf"grain at +{N}°", count=3, why="three grains were made"),
        Claim(rf"farthest from a true grain angle: {N}°", high=0.4),
        Claim(rf"median error {N}°; within 1°", high=0.5),
        Claim(rf"; within 1°: {N}% of those encoded", 80),
        Claim(rf"inside the grains {N}%", 87),
        Claim(rf"residual within 0\.2 nm of a boundary: {N} times", 1.4),
    ],
    "solutions/12_map_grains": [
        *falling(*(rf"{px} px: median error inside {N}°" for px in (40, 64))),
        *falling(*(rf"{px} px: .* right {N}% of the field" for px in (40, 64))),
        Claim(rf"told by single columns {N}%", 85),
        Claim(rf"by the median of nine {N}%", 90),
    ],
    "13_find_dopants": [
        Words(r"order of the motif 3,"),
        Claim(rf"{N}% of neighbours differ by over 30°", 95),
        Claim(rf"median error {N}°, within 5°", high=1.5),
        Claim(rf"°, within 5°: {N}% of the atoms", 95),
        Claim(rf"rare, found as rare: precision {N},", 0.85),
        Claim(rf"rare, found as rare: precision .*, recall {N}", 0.4),
        Claim(rf"silicon and its neighbours, found as rare: {N}%", 90),
        Claim(rf"\nkind 1: {N}% of the sub-images, angle known modulo 120°", 90, why="carbon"),
        Claim(rf"\nnext to silicon +.* kind 2: +{N} ", 75, why="of 88: a kind of their own"),
        Claim(rf"\nsilicon +.* kind 3: +{N} ", 26, why="of 30: a kind of their own"),
        Claim(rf"counts in the disk +precision {N}, recall {N}", 0.9, count=2),
    ],
    "solutions/13_find_dopants": [
        Claim(rf"dose 1: area .* brightest {N}%", high=60),
        Claim(rf"dose 20: area .* brightest {N}%", 85),
        Claim(rf"bright: {N}% of them are silicon", 90),
        Claim(rf"rare: precision .*, recall {N}", 0.6),
    ],
    "14_map_domains": [
        Claim(rf"rVAE angle: +median error {N}°", high=0.6),
        Claim(rf"rVAE angle: .* sign right {N}%", 99),
        Claim(rf"\narrows .* 30° read as {N}°", 26, 34),
        Claim(rf"\nrVAE .* 30° read as {N}°", -5, 5),
        Claim(rf"columns on the right side of this line: {N}%", 99.5),
        Claim(rf"\narrows +{N}%", 98),
        Claim(rf"\nrVAE 44 px +{N}%", 98),
        Order(
            rf"\narrows, mean of 5 +\S+ +\S+ +{N}%",
            rf"\nrVAE 44 px +\S+ +\S+ +{N}%",
            why="arrows of several cells hold out longest",
        ),
        Claim(rf"\nrVAE 44 px +\S+ +\S+ +{N}%", 85),
    ],
    "solutions/14_map_domains": [
        Claim(rf"sign right: {N}% of \d+ lead columns off the wall", 97),
        Claim(rf"of {N} at the wall", 5),
        Claim(rf"dose 8, off the wall: rVAE on lead {N}%", 85),
        *falling(*(rf"{px} px, trained at dose 8: {N}%" for px in (60, 36))),
    ],
    "15_map_alloy": [
        Claim(rf"of them real, {N}% of the kinds right", 98),
        *near(rf"\ntruth: alpha {N}", rf"threshold: alpha {N}", 0.02),
        Claim(rf"both: species {N}%", 95),
        Claim(rf"both: species .* R² {N}", 0.93),
        Claim(rf"arrangement, of \d+ in the field: {N}%", 75),
        Claim(rf"% of the columns, {N}% of them in the right island", 80),
        Claim(rf"number exactly right in {N}%", 85),
        *near(rf"\nalpha {N}; true", rf"\nalpha .*; true {N} for", 0.04),
        Claim(rf"side: median error {N}°", high=4),
        Claim(rf"side: .* within 15°: {N}%", 85),
    ],
    "solutions/15_map_alloy": [
        *near(rf"clustering -0\.6: alpha {N}", rf"clustering -0\.6: .* true {N}", 0.05),
        *near(rf"clustering \+0\.6: alpha {N}", rf"clustering \+0\.6: .* true {N}", 0.05),
        Claim(rf"clustering -0\.6: alpha {N}", high=-0.05),
        Claim(rf"clustering \+0\.6: alpha {N}", 0.1),
        Claim(rf"species {N}%, number of W", 97),
        Order(rf"; from species {N}", rf"neighbours R² {N};", margin=-0.1),
        Claim(rf"direction of the sulphur: {N}°", high=2),
    ],
    "16_map_perovskite": [
        *alike(rf"{N} heavy and", rf"the area holds {N} cells", 0.95, 1.05),
        *alike(rf"heavy and {N} light", rf"the area holds {N} cells", 0.95, 1.05),
        Claim(rf"expected .* nm: {N}%", -2, 2),
        Claim(rf"angles gathered at four directions: {N} ", 0.99),
        Claim(rf"within 45 degrees: {N}% of", 90),
        Claim(rf"medians of the five models: {N}%", 90),
        Claim(rf"medians of the five models: .*% and {N}%", 80),
    ],
    "17_map_real_images": [
        Claim(rf"header off by {N}%", -13, -10),
        Claim(rf"px, along them .* px, at {N}°", high=88.5, why="the scan is sheared"),
        *(
            Order(rf"across scatter {place}", rf"along +scatter {place}", 1.3)
            for place in (rf"{N} px downwards", rf"\S+ px downwards, {N} px to the right")
        ),
        Claim(rf"neighbours agree modulo 360, 180, 90°: {N}%", high=70),
        Claim(rf"neighbours agree modulo 360, 180, 90°: \d+%, {N}%", 90),
        Claim(rf"squared: modulo 360, 180, 90°: \S+, {N}%", high=80),
        Claim(rf"squared: modulo 360, 180, 90°: .*, {N}%\n", 99),
        Claim(rf"modulo 60°: models {N}° apart", high=3),
        Claim(rf"modulo 60°: models .* neighbours agree {N}%", 90),
        Claim(rf"(?:angle, (?:upper|lower) model|brightness): share {N}%", 5, count=3),
        Claim(rf"latent 1 +rank correlation {N}\n", 0.95),
        Claim(rf"residual +rank correlation {N}\n", 0.6),
        Claim(rf"(?:90|37)° within 1° {N}%", 95, count=2),
    ],
    "solutions/17_map_real_images": [
        Claim(rf"neighbours agree modulo 360, 180, 90°: {N}%", high=70),
        Claim(rf"neighbours agree modulo 360, 180, 90°: \d+%, {N}%", 80),
        Claim(rf"neighbours agree modulo 360, 180, 90°: \d+%, \d+%, {N}%", 95),
        Claim(rf"modulo 60°: {N}° apart", high=3),
        Claim(rf"latent 1: rank correlation {N}", 0.95),
        Claim(rf"residual: rank correlation {N}", 0.6),
    ],
    "18_break_image": [
        Claim(rf"in the vacuum: {N} maxima", 100),
        Claim(rf"maxima, {N} columns by the network", high=4),
        Claim(rf"scale off by {N}% with the wrong header", 8),
        Claim(rf"wrong header, {N}% with the right one", -1, 1),
        Words(r"warnings of the report: [1-9]\d*, then 0\n"),
        Claim(rf"over its mean: swapped {N},", high=1.2),
        Claim(rf"over its mean: swapped .*, right {N}", 1.8),
        Order(rf"windows that fit: .* right {N}", rf"windows that fit: swapped {N},"),
        Claim(rf"scattered: {N}% of the angles", high=80),
        Claim(rf"refined: {N}% of the angles", 92),
        Claim(rf"probability: thickness R² {N},", high=0.3),
        Claim(rf"probability: .* rank {N}", high=0.4),
        Claim(rf"image: thickness R² {N},", 0.95),
        Claim(rf"image: .* rank {N}", 0.85),
        Claim(rf"angles off by over 1°: {N}% at the rim", 20),
        Claim(rf"residual at the border: {N} times", 2),
        Claim(rf"of the rest {N}% are off", high=3),
        Claim(rf"drifting gain: R² of the gain {N},", 0.25),
        Claim(rf"rows levelled: R² of the gain {N},", high=0.1),
    ],
    "solutions/18_break_image": [
        Claim(rf"residual at the border: {N} times", 1.8),
        Claim(rf"angles off by over 1°: {N}% at the rim", 10),
        Claim(rf"places off by 0 px: {N}%", 97),
        Claim(rf"places off by 0\.5 px: {N}%", 90),
        Claim(rf"places off by 3 px: {N}%", high=50, why="fewer are lost than were: under half"),
    ],
    "19_break_window": [
        Claim(rf"16 px: {N}% of all columns within 1°", high=10),
        Claim(rf"40 px: {N}% of all columns within 1°", 65),
        Claim(rf"16 px: order 0 holds {N}% of the power", 90),
        Claim(rf"lost at 80 px, since the window does not fit: {N}%", 25),
        Order(rf"40 px: right within 1° for {N}%", rf"80 px: right within 1° for {N}%", margin=5),
        Words(r"recommended: (?:32|40) px"),
        Claim(rf"square: {N}% of the turns within 5°", high=40),
        Claim(rf"disk: {N}% of the turns within 5°", 90),
        Claim(rf"thickness: all types {N},", high=0.6),
        Claim(rf"iron alone {N}", 0.9),
        Claim(rf"folded by \[1, 3, 6\]: \[ *{N} ", high=0.4),
        Claim(rf"folded by \[1, 3, 6\]: \[ *\S+ +{N} ", high=0.7),
        Claim(rf"folded by \[1, 3, 6\]: \[ *\S+ +\S+ +{N} *\]", 0.95),
        Words(r"order of the motif as the posterior tells it: 3\n"),
        Claim(rf"off by over 10°: plain {N}%", 50),
        Claim(rf"worst of the circular means is off by {N}°", high=3),
        Words(r"hands told apart by the latent: 100\.0%"),
        Claim(rf"correlation with the mirror image: {N}", high=-0.9),
        Order(rf"spread over own error: {N},", rf"one group mirrored {N}", 5),
        Claim(rf"one group mirrored {N}", high=1.5, why="noise spreads by about its own error"),
    ],
    "solutions/19_break_window": [
        Claim(rf"folded by 2: {N}% within 10°", high=60),
        Claim(rf"folded by (?:6|12): {N}% within 10°", 95, count=2),
        Claim(rf"(?:^|\n)pedestal, square: {N}% within 5°", high=40),
        Claim(rf"pedestal, disk: {N}% within 5°", 90, count=2),
        Order(rf"no pedestal, square: {N}%", rf"(?:^|\n)pedestal, square: {N}%", margin=30),
    ],
    "20_break_model": [
        Claim(rf"as recorded: R² of the brightness {N},", 0.9),
        Claim(rf"each window levelled: R² of the brightness {N},", high=0.5),
        Claim(rf"beta 200 \[ *{N} ", 1, why="the latent of the kinds lives whatever beta is"),
        Claim(rf"beta 200 \[ *\S+ +{N} *\]", high=0.3),
        Claim(rf"\], beta 1 \[ *{N} +{N} *\]", 3, count=2),
        Claim(rf"spread over own error: \[.*\], {N} alive", 1.5, 3.5, why="of four"),
        Claim(rf"as read from the two liveliest: R² {N}", 0.8, why="it says nothing new"),
        Words(r"20 others: alive \[[01], [01]\]", why="a second latent is not learnt from so few"),
        Claim(rf"\nall \d+: .* the worst R² {N}", 0.9),
        Claim(rf"\"model\": thickness off by {N} nm", 4),
        Claim(rf"\"stack\": thickness off by {N} nm", high=2),
        Order(rf"\"model\": .* median residual {N}", rf"\"stack\": .* median residual {N}", 1.5),
        Words(r"fit warns: the turn of kind 1 is not known: these motifs are round"),
        Claim(rf"median angle_sd: {N}° for lone atoms", 90),
        Claim(rf"for lone atoms, {N}° for the crystal", high=5),
    ],
    "solutions/20_break_model": [
        Claim(rf"beta 1: spread over error \[ *{N} +{N} *\]", 3, count=2),
        Claim(rf"beta 60: spread over error \[ *{N} ", 1, why="the latent of the kinds lives on"),
        Claim(rf"beta 60: spread over error \[ *\S+ +{N} *\]", high=0.3),
        Claim(rf"\"model\": thickness off by {N} nm", -0.5, 0.5),
        Claim(rf"\"stack\": thickness off by {N} nm", 2),
    ],
    "solutions/21_analyse_image": [
        Claim(rf"the pixel size should be {N} nm", 0.0198, 0.0202),
        Words("divide the pixel size"),
        Order(rf"of the worst ten {N} or more", rf"residual: usual {N},", 1.2),
    ],
    "22_compare_results": [
        Claim(rf"(?:Atomap|AtomAI): {N}% fit as", 98, count=2),
        Claim(rf"(?:Atomap|AtomAI): .* next {N}%", high=30, count=2),
        *(
            claim
            for name in ("Atomap", "AtomAI")
            for claim in (
                Order(rf"{name}: rms .* ours {N} px", rf"error that we state: {N} px"),
                Order(rf"{name}: rms .* theirs {N} px", rf"{name}: rms .* ours {N} px"),
                Claim(rf"{name}: rms .*\n.* errors correlate by {N}", 0.5),
            )
        ),
        *(
            Order(
                rf"two halves of the frames: {place} px",
                rf"Atomap minus ours, .*\n +scatter \({place}\) px",
                why="other frames tell more than another program",
            )
            for place in (rf"{N}, \S+", rf"\S+ {N}")
        ),
        Words(r"\ndegrees, clockwise, order 4:"),
        Order(rf"theirs: median .*\n +{N}° in all", rf"ours: median .*\n +{N}° in all"),
        Claim(rf"ours is nearer the truth in {N}%", 70),
    ],
    "solutions/22_compare_results": [
        Words(r"with order \[1, 0\], unit 0\.02, y up: True;"),
        Claim(rf"{N}% with order", 98),
        Claim(rf"; the next best {N}%", high=30),
        Claim(rf"median difference: {N} px along rows", -1.05, -0.95),
        Claim(rf"px along rows, {N} px along columns", 0.95, 1.05),
        Claim(rf"ours from its places minus ours: scatter {N} px, {N} px", high=0.005, count=2),
    ],
    "23_process_stack": [
        Order(
            rf"{N} of \d+ columns were fitted in all 24 frames", rf"the mean shows {N} columns", 0.9
        ),
        Claim(rf"shifts: {N} px from the simulated drift", high=0.15),
        Words("each column the same true one in every frame: True"),
        Words(r"the new one is seen in frames \[ 8  9 10 11 12 13 14 15\]"),
        Words("store begun: False"),
        Words(r"done before: \[ *\d+(?: +\d+){0,3} *\]\n", why="one to four were located"),
        Words(r"done now: +\[ *\d+(?: +\d+){7} *\]\n", why="all but the damaged one"),
        Words(r"left out: +\{7: [^,{}]*\}"),
        Words("what was done is written again: False"),
        *(
            order
            for axis in ("row", "column")
            for order in (
                *alike(rf"\n{axis}: jitter {N} px", rf"\n{axis}: .* simulated {N} px", 0.3, 1),
                *alike(
                    rf"\n{axis}: .* with counting {N} px",
                    rf"\n{axis}: .* scatter {N} px",
                    0.88,
                    1.12,
                ),
            )
        ),
        Claim(rf"that is {N}% of all columns", 30),
        Claim(rf"over stated error has a standard deviation of {N},", 0.8, 1.25),
        Claim(rf"one misfit grows {N} times: its column stands", 3),
        Claim(rf"its column stands {N} px from the added one", high=20),
        Order(
            rf"of their angles {N} are not told",
            rf"\n{N} misfits are over three times their usual",
            0.5,
            why="the error bar grows with the misfit",
        ),
        Claim(rf"not told, and {N} are off by over five error bars", high=3),
        Words("positions the same to the byte: True"),
    ],
    "solutions/23_process_stack": [
        Claim(rf"15 px across: the shifts err by {N} px", high=0.3),
        Claim(
            rf"(?:a vector|13 px) along: the shifts err by {N} px",
            *(18.95, 19.55, 2),
            why="a lattice vector, 19.25 px",
        ),
        Words("largest step: from frame 3 to frame 4"),
        Claim(rf"half over full: angle {N} stated", 1.1, 1.7),
        *alike(
            rf"half over full: .* stated, {N} scatter; place",
            rf"half over full: angle {N} stated",
            *(0.75, 1.33),
        ),
        Order(
            rf"half over full: .* place {N} from counting",
            rf"half over full: .* from counting, {N} scatter",
            why="jitter does not depend on the dose",
        ),
    ],
}
