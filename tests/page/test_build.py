import json

import numpy as np
import pytest
import yaml
from figure_frames import LABELS, distances, sweep
from page_checks import Page
from worlds import papers_world, table

from neuroreg.figures.fig2 import fig2
from neuroreg.figures.noise import fig1
from neuroreg.figures.style import save_figure
from neuroreg.figures.tables import table2
from neuroreg.files.storage import write_csv, write_h5, write_json, write_text
from neuroreg.page.build import make_page

HOSTILE = '</td><script>alert("1 & 2")</script>'
GAMMA = "alpha,seeds,g1,g5,paper_g1,paper_g5\n2,3,0.25,0.75,0,1\n3,3,0.5,0.5,,\n"
SIMILARITY = "panel,scan,comparison,r,paper\nscans,simulated1,model vs averaged,0.8,0.73\n"
SCORES = (
    "scan,model,single_trial_correlation,correlation_to_average,feve,fraction_of_oracle\n"
    "simulated1,ridge,0.3,0.4,,0.6\n"
)
MASKING = """\
check,value,expected,flag
black box,0,0,ok
black box,0.25,0,flag
ratio,1.5,0.8 to 1.25,flag
ratio,,,none
"""
SETTINGS = "attack,setting,norm,kept\npgd,a,l0,yes\npgd,a,l1,yes\npgd,b,l0,no\n"
CONVERGENCE = "norm,verdict\nl0,all well\nl1,\n"


@pytest.fixture(scope="module")
def config(default):
    changed = json.loads(json.dumps(default))
    changed["models"][0]["label"] = HOSTILE
    return changed


@pytest.fixture(scope="module")
def default(request):
    return yaml.safe_load((request.config.rootpath / "config.yaml").read_text())


@pytest.fixture(scope="module")
def claims():
    found = table(*papers_world()).reset_index()
    found.loc[0, "note"] = HOSTILE
    return found


@pytest.fixture(scope="module")
def make(tmp_path_factory, request, config, claims):
    tmp_path = tmp_path_factory.mktemp("page")
    report = request.config.rootpath / "report"
    labels = LABELS | {"none": HOSTILE}
    texts = {
        "table1": GAMMA,
        "similarity": SIMILARITY,
        "scores": SCORES,
        "masking": MASKING,
        "settings": SETTINGS,
        "overlap": "scan,other,images,shared_keys,shared_pixels,conflicts\n",
        "convergence": CONVERGENCE,
    }
    for name, text in texts.items():
        write_text(tmp_path / f"{name}.csv", text)
    write_csv(tmp_path / "table2.csv", table2(distances(), labels))
    write_csv(tmp_path / "claims.csv", claims)
    figures = {name: fig1(*sweep())[0] for name in ("fig1", "noise", "similarity", "convergence")}
    for name, figure in (figures | {"fig2": fig2(distances(), labels)[0]}).items():
        save_figure(tmp_path / f"{name}.svg", figure)
    images = {"train/labels": np.zeros(4, np.int64), "test/labels": np.zeros(3, np.int64)}
    classes = {"classes": np.array([HOSTILE, "b"])}
    write_h5(tmp_path / "classification.h5", "classification", images | classes)
    stimuli = {"oracle": np.array([1, 1, 0, 0, 0], bool)}
    write_h5(tmp_path / "stimuli.h5", "stimuli", stimuli)
    summary = {
        "scan": "simulated1",
        "neurons": {"kept": 7, "read": 9},
        "trials": {"train": 3, "test": 2},
        "images": {"count": 4, "different": 4, "sha256": "0" * 64},
    }
    write_json(tmp_path / "simulated1.json", summary)

    def write(note="Simulated scans.", elsewhere=None):
        names = [*texts, "table2", "claims"]
        page = make_page(
            (report / "page.html.j2").read_text(),
            {name: tmp_path / f"{name}.svg" for name in [*figures, "fig2"]},
            {name: tmp_path / f"{name}.csv" for name in names},
            {name: report / f"{name}.rst" for name in ("fig1", "noise", "similarity")},
            dict.fromkeys([*figures, "fig2"], HOSTILE),
            data={name: tmp_path / f"{name}.h5" for name in ("classification", "stimuli")},
            scans=[tmp_path / "simulated1.json"],
            folder=tmp_path,
            config=config,
            sizes=[{"what": HOSTILE, "ours": "1", "paper": "2", "differs": True, "open": False}],
            elsewhere=elsewhere or {},
            note=note,
            conditions="``none``: trained alone.",
            names=[],
        )
        write_text(tmp_path / "index.html", page)
        return Page(tmp_path / "index.html")

    return write


def test_texts_of_users_are_texts(make):
    page = make()
    assert page.named("script") == []
    # The label in Table 2 and on the figure, the class, the size, the figures' titles, the note of a claim.
    assert page.text.count(HOSTILE) >= 6
    assert all(attributes["aria-label"] == HOSTILE for attributes in page.named("svg"))
    assert json.dumps(HOSTILE) in page.text  # in the config


def test_numbers_stand_beside_the_papers(make, claims):
    page = make()
    for text in (
        "2 3 0.25 paper 0 0.75 paper 1",
        "3 3 0.5 paper – 0.5 paper –",
        "simulated1 model vs averaged 0.8 0.73",
        "black box 1 of 2 0 to 0.25 0",
        "ratio 1 of 1 1.5 to 1.5 0.8 to 1.25",
        "keeps 1 of 2 settings",
        "L0 all well",
        "simulated1 simulated 7 of 9 read 5 2 test, 3 train 4",
        "Stimuli: 5 images, 2 of them shown repeatedly",
        "Classified: 4 images to train on, 3 to test on, of 2 classes",
    ):
        assert text in page.text, text
    for row in claims.to_dict("records"):
        assert row["sentence"] in page.text and f"; {row['seeds']} seeds" in page.text
    for verdict, count in claims["verdict"].value_counts().items():
        assert f"{count} {verdict}" in page.text


def test_the_same_results_make_the_same_page(make):
    page = make()
    first = page.path.read_bytes()
    make()
    assert page.path.read_bytes() == first


def test_it_says_of_simulated_scans_what_it_is_told(make):
    assert make("Partly simulated scans: 1 of 2.").text.count("Partly simulated scans: 1 of 2.") == 2
    assert "All scans are recordings." in make("").text


def test_it_tells_which_networks_the_run_did_not_train(make):
    page = make(elsewhere={HOSTILE: "mine{seed}.pt2"})
    assert f"judged by no claim: {HOSTILE}, of mine{{seed}}.pt2" in page.text
    assert "Not trained by this run" not in make().text
