"""NIST StRD, linear regression: data and certified values, in the digits that NIST gives.

Source: Statistical Reference Datasets, National Institute of Standards and Technology,
https://www.itl.nist.gov/div898/strd/lls/lls.shtml. Works of the United States government, in the public domain. Norris
lies in scipy's own installation and is read from there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

Columns = dict[str, list[float]]


@dataclass(frozen=True)
class LinearSet:
    """One set. ``estimates`` are (coefficient, standard deviation) by term; 0 stands where NIST certifies 0."""

    name: str
    difficulty: str
    formula: str
    data: Callable[[], Columns]
    estimates: dict[str, tuple[str, str]]
    residual: str
    r_squared: str
    powers: dict[str, int] = field(default_factory=dict)


def _columns(names: str, text: str) -> Columns:
    rows = [[float(value) for value in line.split()] for line in text.strip().splitlines()]
    return {name: [row[i] for row in rows] for i, name in enumerate(names.split())}


def _pairs(text: str) -> Columns:
    numbers = [float(value) for value in text.split()]
    return {"y": numbers[::2], "x": numbers[1::2]}


def norris() -> Columns:
    """Return ozone monitors' calibration, out of scipy's tests."""
    text = (files("scipy.stats") / "tests/data/nist_linregress/Norris.dat").read_text()
    return _columns("y x", text[text.index("Data:       y") :].split("\n", 1)[1])


def pontius() -> Columns:
    """Return load cells' deflection under load: two runs of twenty loads, 150,000 apart."""
    deflections = """
        .11019 .21956 .32949 .43899 .54803 .65694 .76562 .87487 .98292 1.09146
        1.20001 1.30822 1.41599 1.52399 1.63194 1.73947 1.84646 1.95392 2.06128 2.16844
        .11052 .22018 .32939 .43886 .54798 .65739 .76596 .87474 .98300 1.09150
        1.20004 1.30818 1.41613 1.52408 1.63159 1.73965 1.84696 1.95445 2.06177 2.16829
    """
    return {
        "y": [float(value) for value in deflections.split()],
        "x": [150_000.0 * load for load in (*range(1, 21), *range(1, 21))],
    }


def longley() -> Columns:
    """Return the American labour market of 1947 to 1962."""
    return _columns(
        "y x1 x2 x3 x4 x5 x6",
        """
        60323  83.0 234289 2356 1590 107608 1947
        61122  88.5 259426 2325 1456 108632 1948
        60171  88.2 258054 3682 1616 109773 1949
        61187  89.5 284599 3351 1650 110929 1950
        63221  96.2 328975 2099 3099 112075 1951
        63639  98.1 346999 1932 3594 113270 1952
        64989  99.0 365385 1870 3547 115094 1953
        63761 100.0 363112 3578 3350 116219 1954
        66019 101.2 397469 2904 3048 117388 1955
        67857 104.6 419180 2822 2857 118734 1956
        68169 108.4 442769 2936 2798 120445 1957
        66513 110.8 444546 4681 2637 121950 1958
        68655 112.6 482704 3813 2552 123366 1959
        69564 114.2 502601 3931 2514 125368 1960
        69331 115.7 518173 4806 2572 127852 1961
        70551 116.9 554894 4007 2827 130081 1962
        """,
    )


def filip() -> Columns:
    """Return Filippelli's data, for a polynomial of degree 10."""
    return _pairs("""
        0.8116 -6.860120914  0.9072 -4.324130045  0.9052 -4.358625055  0.9039 -4.358426747  0.8053 -6.955852379
        0.8377 -6.661145254  0.8667 -6.355462942  0.8809 -6.118102026  0.7975 -7.115148017  0.8162 -6.815308569
        0.8515 -6.519993057  0.8766 -6.204119983  0.8885 -5.853871964  0.8859 -6.109523091  0.8959 -5.79832982
        0.8913 -5.482672118  0.8959 -5.171791386  0.8971 -4.851705903  0.9021 -4.517126416  0.909  -4.143573228
        0.9139 -3.709075441  0.9199 -3.499489089  0.8692 -6.300769497  0.8872 -5.953504836  0.89   -5.642065153
        0.891  -5.031376979  0.8977 -4.680685696  0.9035 -4.329846955  0.9078 -3.928486195  0.7675 -8.56735134
        0.7705 -8.363211311  0.7713 -8.107682739  0.7736 -7.823908741  0.7775 -7.522878745  0.7841 -7.218819279
        0.7971 -6.920818754  0.8329 -6.628932138  0.8641 -6.323946875  0.8804 -5.991399828  0.7668 -8.781464495
        0.7633 -8.663140179  0.7678 -8.473531488  0.7697 -8.247337057  0.77   -7.971428747  0.7749 -7.676129393
        0.7796 -7.352812702  0.7897 -7.072065318  0.8131 -6.774174009  0.8498 -6.478861916  0.8741 -6.159517513
        0.8061 -6.835647144  0.846  -6.53165267   0.8751 -6.224098421  0.8856 -5.910094889  0.8919 -5.598599459
        0.8934 -5.290645224  0.894  -4.974284616  0.8957 -4.64454848   0.9047 -4.290560426  0.9129 -3.885055584
        0.9209 -3.408378962  0.9219 -3.13200249   0.7739 -8.726767166  0.7681 -8.66695597   0.7665 -8.511026475
        0.7703 -8.165388579  0.7702 -7.886056648  0.7761 -7.588043762  0.7809 -7.283412422  0.7961 -6.995678626
        0.8253 -6.691862621  0.8602 -6.392544977  0.8809 -6.067374056  0.8301 -6.684029655  0.8664 -6.378719832
        0.8834 -6.065855188  0.8898 -5.752272167  0.8964 -5.132414673  0.8963 -4.811352704  0.9074 -4.098269308
        0.9119 -3.66174277   0.9228 -3.2644011
    """)


def _wampler1() -> list[float]:
    return [float(sum(x**k for k in range(6))) for x in range(21)]


_NOISE = (759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048, 2048)


def wampler(times: int) -> Callable[[], Columns]:
    """Return Wampler's exact polynomial with his disturbance ``times`` over (0 is set 1)."""
    noise = (*_NOISE, *reversed(_NOISE[:-1]))
    y = [exact + times * each for exact, each in zip(_wampler1(), noise, strict=True)]
    return lambda: {"y": y, "x": [float(x) for x in range(21)]}


def wampler2() -> Columns:
    """Return 1 + x/10 + (x/10)**2 + … to the fifth power, to five decimals."""
    scaled = [sum(10 ** (5 - k) * x**k for k in range(6)) for x in range(21)]
    return {"y": [value / 100_000 for value in scaled], "x": [float(x) for x in range(21)]}


def _polynomial(*estimates: tuple[str, str]) -> dict[str, tuple[str, str]]:
    names = ["(intercept)", "x", *(f"x^{k}" for k in range(2, len(estimates)))]
    return dict(zip(names, estimates, strict=True))


_WAMPLER3 = (
    "2152.32624678170", "2363.55173469681", "779.343524331583", "101.475507550350", "5.64566512170752",
    "0.112324854679312",
)  # fmt: skip
_WAMPLER4 = (
    "215232.624678170", "236355.173469681", "77934.3524331583", "10147.5507550350", "564.566512170752",
    "11.2324854679312",
)  # fmt: skip
_WAMPLER5 = (
    "21523262.4678170", "23635517.3469681", "7793435.24331583", "1014755.07550350", "56456.6512170752",
    "1123.24854679312",
)  # fmt: skip

SETS: tuple[LinearSet, ...] = (
    LinearSet(
        "Norris", "lower", "y ~ x", norris,
        _polynomial(("-0.262323073774029", "0.232818234301152"), ("1.00211681802045", "0.429796848199937E-03")),
        "0.884796396144373", "0.999993745883712",
    ),
    LinearSet(
        "Pontius", "lower", "y ~ poly(x, 2)", pontius,
        _polynomial(
            ("0.673565789473684E-03", "0.107938612033077E-03"), ("0.732059160401003E-06", "0.157817399981659E-09"),
            ("-0.316081871345029E-14", "0.486652849992036E-16"),
        ),
        "0.205177424076185E-03", "0.999999900178537",
    ),
    LinearSet(
        "NoInt1", "average", "y ~ x - 1",
        lambda: {"y": [float(y) for y in range(130, 141)], "x": [float(x) for x in range(60, 71)]},
        {"x": ("2.07438016528926", "0.165289256198347E-01")}, "3.56753034006338", "0.999365492298663",
    ),
    LinearSet(
        "NoInt2", "average", "y ~ x - 1", lambda: {"y": [3.0, 4.0, 4.0], "x": [4.0, 5.0, 6.0]},
        {"x": ("0.727272727272727", "0.420827318078432E-01")}, "0.369274472937998", "0.993348115299335",
    ),
    LinearSet(
        "Filip", "higher", "y ~ poly(x, 10)", filip,
        _polynomial(
            ("-1467.48961422980", "298.084530995537"), ("-2772.17959193342", "559.779865474950"),
            ("-2316.37108160893", "466.477572127796"), ("-1127.97394098372", "227.204274477751"),
            ("-354.478233703349", "71.6478660875927"), ("-75.1242017393757", "15.2897178747400"),
            ("-10.8753180355343", "2.23691159816033"), ("-1.06221498588947", "0.221624321934227"),
            ("-0.670191154593408E-01", "0.142363763154724E-01"), ("-0.246781078275479E-02", "0.535617408889821E-03"),
            ("-0.402962525080404E-04", "0.896632837373868E-05"),
        ),
        "0.334801051324544E-02", "0.996727416185620",
    ),
    LinearSet(
        "Longley", "higher", "y ~ x1 + x2 + x3 + x4 + x5 + x6", longley,
        {
            "(intercept)": ("-3482258.63459582", "890420.383607373"), "x1": ("15.0618722713733", "84.9149257747669"),
            "x2": ("-0.358191792925910E-01", "0.334910077722432E-01"), "x3": ("-2.02022980381683", "0.488399681651699"),
            "x4": ("-1.03322686717359", "0.214274163161675"), "x5": ("-0.511041056535807E-01", "0.226073200069370"),
            "x6": ("1829.15146461355", "455.478499142212"),
        },
        "304.854073561965", "0.995479004577296",
    ),
    LinearSet(
        "Wampler1", "higher", "y ~ poly(x, 5)", wampler(0), _polynomial(*[("1", "0")] * 6), "0", "1",
    ),
    LinearSet(
        "Wampler2", "higher", "y ~ poly(x, 5)", wampler2,
        _polynomial(("1", "0"), ("0.1", "0"), ("0.01", "0"), ("0.001", "0"), ("0.0001", "0"), ("0.00001", "0")),
        "0", "1",
    ),
    LinearSet(
        "Wampler3", "higher", "y ~ poly(x, 5)", wampler(1), _polynomial(*[("1", each) for each in _WAMPLER3]),
        "2360.14502379268", "0.999995559025820",
    ),
    LinearSet(
        "Wampler4", "higher", "y ~ poly(x, 5)", wampler(100), _polynomial(*[("1", each) for each in _WAMPLER4]),
        "236014.502379268", "0.957478440825662",
    ),
    LinearSet(
        "Wampler5", "higher", "y ~ poly(x, 5)", wampler(10_000), _polynomial(*[("1", each) for each in _WAMPLER5]),
        "23601450.2379268", "0.224668921574940E-02",
    ),
)  # fmt: skip
