"""Links and distances: rows, words and figures of the suite `network`."""

import msgspec
import pytest
import synthetic
from matplotlib.text import Text

from lab.bench.network_grid import LINKS, LOSSES, PRESETS
from lab.bench.record import RecordError, ServerUse
from lab.report.about import threats
from lab.report.build import build_report
from lab.report.compare import compare_by, compare_runs
from lab.report.rows.distance import distance_rows
from lab.report.rows.distant_outages import distant_outages, distant_phases
from lab.report.rows.far import far_rows
from lab.report.rows.loss import loss_rows
from lab.report.rows.transports import transport_rows
from lab.report.sections import distance, far, loss, sections, transports
from lab.report.sections import distant_outages as outages
from lab.report.style import styled
from lab.report.verdicts import findings

SECTIONS = (transports, loss, distance, outages, far)


@pytest.fixture(scope="module")
def records():
    return {profile: synthetic.networks(profile=profile, rounds=rounds)
            for profile, rounds in (("smoke", 1), ("quick", 3), ("full", 3))}  # fmt: skip


@pytest.fixture
def run(run_of, records):
    return run_of(records["quick"])


def of_family(records, family):
    return [record for record in records if record.pyperf.benchmark.startswith(f"{family}/")]


def test_udp_is_held_against_shared_memory_under_the_same_load_of_the_same_round(run):
    rows = transport_rows(run)
    loads = ["writes via the leader, 256 outstanding", "writes via the leader, 1 outstanding",
             "reads via all servers, 2 × 128 outstanding"]  # fmt: skip
    links = ["shared memory", "UDP", "UDP, sealed", "UDP, datagrams of 60,000 bytes"]
    assert [(row.load, row.links) for row in rows] == [(load, link) for load in loads for link in links]
    for row in rows:
        expected = {"shared memory": 1.0, "UDP": 1 / 1.6, "UDP, sealed": 1 / (1.6 * 1.15)}
        if row.links in expected:
            assert row.relative == pytest.approx(expected[row.links], rel=0.1)
            assert row.is_base == (row.links == "shared memory")
    assert len(LINKS) == len(links)


def test_without_shared_memory_there_is_nothing_to_hold_udp_against(run_of, records):
    kept = [r for r in of_family(records["quick"], "transport") if r.settings.transport == "udp"]
    assert transports.section(run_of(kept)) is None


def test_loss_is_held_against_no_loss_and_says_what_was_sent_again(run):
    rows = loss_rows(run)
    assert [(row.load, row.loss) for row in rows] == [
        (load, share) for load in ("256 outstanding", "1 outstanding") for share in LOSSES["quick"]
    ]
    for row in rows:
        assert row.relative == pytest.approx(1 / (1 + 6 * row.loss), rel=0.1)
        assert row.resent == pytest.approx(1.05 * row.loss, abs=0.01)


def test_loss_without_a_lossless_trial_is_not_shown(run_of, records):
    assert loss.section(run_of([r for r in of_family(records["quick"], "loss") if r.settings.loss])) is None


def test_a_network_s_floor_is_the_client_s_and_the_quorum_s_round_trip(run):
    rows = {row.network: row for row in distance_rows(run)}
    assert list(rows) == list(PRESETS["quick"])
    assert rows["none"].floor is None
    floors = {name: row.floor for name, row in rows.items() if row.floor is not None}
    assert floors == pytest.approx({"lan": 180, "zones": 2_270, "regions": 19_090, "oceans": 91_090})
    assert [rows[name].leader_site for name in ("zones", "regions", "oceans")] == ["zone-3", "washington", "washington"]
    assert all(row.beyond > 0 for row in rows.values() if row.floor)


def test_trials_that_another_site_led_are_left_out_and_counted(run_of, records):
    moved = [
        led_by(record, 1) if record.pyperf.round == 0 else record for record in of_family(records["quick"], "preset")
    ]
    rows = {row.network: row for row in distance_rows(run_of(moved))}
    assert (rows["zones"].n, rows["zones"].elsewhere) == (2, 1)
    assert (rows["lan"].n, rows["lan"].elsewhere) == (3, 0), "it has one site"


def led_by(record, leader):
    def use(server: ServerUse) -> ServerUse:
        return msgspec.structs.replace(server, role="leader" if server.id == leader else "follower")

    return msgspec.structs.replace(record, servers=[use(server) for server in record.servers])


def with_another_preset(record):
    return msgspec.structs.replace(
        record, settings=msgspec.structs.replace(record.settings, network_digest="0badcafe")
    )  # fmt: skip


def test_a_network_that_has_changed_since_has_no_floor_here_and_is_no_loopback(run_of, records):
    two = [r if r.settings.network == "none" else with_another_preset(r)
           for r in of_family(records["quick"], "preset") if r.settings.network in ("none", "zones")]  # fmt: skip
    loopback, changed = distance_rows(run_of(two))
    assert (changed.floor, changed.leader_site, loopback.floor, loopback.leader_site) == (None, "zone-3", None, "")
    section = distance.section(run_of(two))
    assert [("nothing between" in text, "another one now" in text) for text in section.sentences] == [
        (True, False), (False, True)
    ]  # fmt: skip
    assert [row[3] for row in section.tables[0].rows] == ["–", "not known"]
    with styled():
        [figure] = section.figures
        said = " ".join(text.get_text() for text in figure.draw(figure.rows).findobj(Text))
    assert "none (loopback)" in said
    assert "zones, leader in zone-3" in said


def test_a_network_whose_trials_were_all_led_elsewhere_is_told_of(run_of, records):
    moved = [led_by(r, 1) if r.settings.network == "zones" else r for r in of_family(records["quick"], "preset")]
    text = "Network zones: in none of 3 trials the leader was where the client is, so none counts."
    assert text in distance.section(run_of(moved)).sentences
    alone = distance.section(run_of([r for r in moved if r.settings.network == "zones"]))
    assert (alone.sentences, alone.tables, alone.figures) == ([text], [], [])


def test_outages_are_told_by_network_and_fault_and_are_not_those_of_one_host(run):
    found = [(row.network, row.fault, row.n) for row in distant_outages(run)]
    assert found == [(network, fault, 6) for fault in ("crash", "partition")
                     for network in ("none", "zones", "oceans")]  # fmt: skip
    assert {row.shape for row in distant_phases(run)} == {"none", "zones", "oceans"}
    assert not [finding for finding in findings(run) if finding.topic == "Elections"]


def test_outages_stand_beside_the_tick_that_their_detection_depends_on(run):
    found = outages.section(run)
    partition = next(text for text in found.sentences if "after a partition" in text.lower())
    near, far = partition.split("zones ")[0], partition.split("oceans ")[1]
    assert "(tick 100 ms, noticed after " in near
    assert "(tick 300 ms, noticed after " in far
    assert {row[0]: row[2] for row in found.tables[0].rows} == {
        "none": "100 ms", "zones": "100 ms", "oceans": "300 ms"
    }  # fmt: skip


def test_small_print_says_whose_ticks_are_longer(run):
    [settings] = {row.settings for row in distant_phases(run)}
    near, far = settings.split(" | ")
    assert near.startswith("none, zones: 3 voters, udp; tick 100 ms, ")
    assert far.startswith("oceans: 3 voters, udp; tick 300 ms, ")


def test_far_clients_are_compared_by_whom_they_are_attached_to(run):
    rows = {(row.metric, row.way): row for row in far_rows(run)}
    assert {way for _, way in rows} == {"leader", "observer", "voter"}
    assert rows["far reads, p50", "leader"].floor_us == pytest.approx(185_000)
    assert rows["far reads, p50", "observer"].floor_us == pytest.approx(90)
    assert rows["far writes, p50", "observer"].floor_us == pytest.approx(90 + 185_000 + 1_940)
    assert rows["near writes, p50", "observer"].floor_us == rows["near writes, p50", "leader"].floor_us
    assert rows["near writes, p50", "voter"].floor_us > rows["near writes, p50", "leader"].floor_us
    assert rows["far reads/s", "observer"].relative > 100
    assert {row.far_site for row in rows.values()} == {"sydney"}


def test_far_clients_count_only_where_a_near_voter_led(run_of, records):
    ours = of_family(records["quick"], "far")
    far_led = [led_by(r, 1) if "/voter/" in r.pyperf.benchmark and r.pyperf.round == 0 else r for r in ours]
    gone = sum(a is not b for a, b in zip(ours, far_led, strict=True))
    before, after = ({(row.metric, row.way): row for row in far_rows(run_of(some))} for some in (ours, far_led))
    assert before.keys() == after.keys()
    assert {row.n for (_, way), row in after.items() if way == "voter"} == {2}
    assert {row.n for (_, way), row in after.items() if way != "voter"} == {3}
    assert {row.elsewhere for row in after.values()} == {gone}
    found = far.section(run_of(far_led))
    assert found.sentences[-1] == (
        f"Left out: {gone} of {len(ours)} trials, which were led from another site than the one asked for."
    )
    with styled():
        said = " ".join(text.get_text() for text in found.figures[0].draw(found.figures[0].rows).findobj(Text))
    assert f"Left out: {gone} trials led from another site." in said
    everywhere = far.section(run_of([led_by(r, 1) for r in ours]))
    assert len(everywhere.sentences) == 1
    assert everywhere.tables == everywhere.figures == []
    assert "Left out" not in " ".join(far.section(run_of(ours)).sentences)


@pytest.mark.parametrize("module", SECTIONS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_run_of_something_else_has_no_such_section(module, loaded):
    assert module.section(loaded["quick"]) is None


@pytest.mark.parametrize("module", SECTIONS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_what_was_not_verified_is_not_shown(module, run_of, records):
    assert module.section(run_of([msgspec.structs.replace(r, verified=False) for r in records["quick"]])) is None


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize("module", SECTIONS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_a_figure_says_transport_load_and_n_and_no_text_is_cut(module, profile, run_of, records):
    section = module.section(run_of(records[profile]))
    assert section.sentences
    [figure] = section.figures
    with styled():
        drawn = figure.draw(figure.rows)
        drawn.canvas.draw()
        page, renderer = drawn.bbox, drawn.canvas.get_renderer()
        texts = [text for text in drawn.findobj(Text) if text.get_text().strip() and text.get_visible()]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if id(text) not in hidden(drawn)]
    said = "\n".join(text.get_text() for text in texts)
    assert figure.title in said
    assert "n = " in said
    assert "udp" in said or "UDP" in said
    assert [text for text, box in boxes
            if min(box.x0, box.y0) < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1] == []  # fmt: skip


def hidden(figure):
    """Tick labels beyond the limits, and axes that are not drawn."""
    ids = {id(text) for ax in figure.axes if not ax.get_visible() for text in ax.findobj(Text)}
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ids |= {id(tick.label1) for tick in (*axis.majorTicks, *axis.minorTicks) if not low <= tick.get_loc() <= high}
    return ids


def test_the_report_has_every_figure_with_its_rows(tmp_path, records):
    folder = synthetic.write_run(tmp_path / "networks", records["quick"])
    markdown = build_report(folder, tmp_path / "reports").paths[1].read_text()
    for name in ("transports", "loss", "distance", "distance-outages", "far"):
        assert f"figures/{name}.svg" in markdown
        assert (tmp_path / "reports" / "networks" / "figures" / f"{name}.csv").stat().st_size > 100
    assert "Links and distances" in markdown
    assert "network oceans" in markdown


def test_a_run_with_networks_says_whose_they_are(run, loaded):
    scope = findings(run)[-1].sentences[-1]
    assert scope.startswith("Not shown: real networks (delay and loss are the lab's own) and separate machines.")
    assert findings(loaded["quick"])[-1].sentences[-1].startswith("Not shown: networks and separate machines.")


def test_threats_say_what_the_links_have_not(run_of, records, loaded):
    shm = "Shared-memory links have no network's delay, loss or bandwidth"
    both = "Shared-memory and loopback UDP links have no network's delay, loss or bandwidth"
    own = "Networks are the lab's own"
    for run, wanted in (
        (loaded["quick"], [shm]),
        (run_of(of_family(records["quick"], "transport")), [both]),
        (run_of(of_family(records["quick"], "loss")), [own]),
        (run_of(records["quick"]), [both, own]),
    ):
        said = [text for text in threats(run) if text.startswith(("Shared", "Loopback", "Networks"))]
        assert [text.startswith(start) for text, start in zip(said, wanted, strict=True)] == [True] * len(wanted)


def test_transports_and_networks_can_be_compared_within_a_run(run):
    by_transport = compare_by(run, "transport")
    assert {row.metric for row in by_transport.rows} >= {"throughput", "write p50"}
    assert any("udp" in row.configuration and row.configuration.endswith("/ shm")
               for row in by_transport.rows)  # fmt: skip
    by_network = compare_by(run, "network")
    names = " ".join(row.configuration for row in by_network.rows)
    for network in ("network zones", "network oceans", "1 % of datagrams lost"):
        assert network in names
    assert "digest" not in names
    assert "seconds" not in names


def test_runs_over_different_links_share_no_point(run_of, records):
    shm, udp = ([r for r in of_family(records["quick"], "transport") if r.settings.transport == transport]
                for transport in ("shm", "udp"))  # fmt: skip
    assert compare_runs(run_of(shm), run_of(shm)).rows
    with pytest.raises(RecordError, match="share no verified configuration"):
        compare_runs(run_of(shm), run_of(udp))


def test_windows_of_another_length_are_another_setting_of_the_same_point(run_of, records):
    """And not one of the point with another load, or over other links."""
    ours = of_family(records["quick"], "transport")
    longer = [msgspec.structs.replace(r, settings=msgspec.structs.replace(r.settings, seconds=9.0)) for r in ours]
    with pytest.raises(RecordError, match=r"differs: seconds 0.8 in A, 9.0 in B; --force"):
        compare_runs(run_of(ours), run_of(longer))
    rows = compare_runs(run_of(ours), run_of(longer), force=True).rows
    throughputs = {row.configuration for row in rows if row.metric == "throughput"}
    assert len(throughputs) == 2 * len(LINKS), "writes and reads"


def test_sections_of_the_network_come_in_one_order(run):
    assert [section.name for section in sections(run)] == [
        "transports", "loss", "distance", "distance-outages", "far",
    ]  # fmt: skip
