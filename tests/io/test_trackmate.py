"""Files of TrackMate: written, read back, and as TrackMate itself writes them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.errors import ImageError
from napari_unet.core.results import Tracks
from napari_unet.workflows import read_tracks, track, write_tracks

# As TrackMate 7 saves it, shortened: a division, a track that is filtered out, a hidden spot, an edge that points back.
FOREIGN = """<?xml version="1.0" encoding="UTF-8"?>
<TrackMate version="7.11.1">
  <Log>Hello &lt;world&gt;</Log>
  <Model spatialunits="micron" timeunits="sec">
    <FeatureDeclarations><SpotFeatures>
      <Feature feature="QUALITY" name="Quality" shortname="Quality" dimension="QUALITY" isint="false" />
    </SpotFeatures></FeatureDeclarations>
    <AllSpots nspots="7">
      <SpotsInFrame frame="0">
        <Spot ID="40" name="ID40" QUALITY="2.5" POSITION_T="0.0" POSITION_X="5.0" POSITION_Y="10.0" POSITION_Z="0.0"
              FRAME="0" RADIUS="2.0" VISIBILITY="1" />
        <Spot ID="50" name="ID50" POSITION_T="0.0" POSITION_X="30.0" POSITION_Y="10.0" POSITION_Z="0.0" FRAME="0"
              RADIUS="2.0" VISIBILITY="1" />
      </SpotsInFrame>
      <SpotsInFrame frame="1">
        <Spot ID="41" name="ID41" POSITION_T="30.0" POSITION_X="4.0" POSITION_Y="10.0" POSITION_Z="0.0" FRAME="1"
              RADIUS="1.5" VISIBILITY="1" />
        <Spot ID="42" name="ID42" POSITION_T="30.0" POSITION_X="6.0" POSITION_Y="10.5" POSITION_Z="0.0" FRAME="1"
              RADIUS="1.5" VISIBILITY="1" />
        <Spot ID="51" name="ID51" POSITION_T="30.0" POSITION_X="31.0" POSITION_Y="10.0" POSITION_Z="0.0" FRAME="1"
              RADIUS="2.0" VISIBILITY="1" />
        <Spot ID="60" name="ID60" POSITION_T="30.0" POSITION_X="1.0" POSITION_Y="1.0" POSITION_Z="0.0" FRAME="1"
              RADIUS="2.0" VISIBILITY="0" />
      </SpotsInFrame>
    </AllSpots>
    <AllTracks>
      <Track name="Track_0" TRACK_ID="0" NUMBER_SPOTS="3">
        <Edge SPOT_SOURCE_ID="40" SPOT_TARGET_ID="41" LINK_COST="0.25" />
        <Edge SPOT_SOURCE_ID="42" SPOT_TARGET_ID="40" LINK_COST="1.5" />
        <Edge SPOT_SOURCE_ID="40" SPOT_TARGET_ID="99" LINK_COST="1.0" />
      </Track>
      <Track name="Track_1" TRACK_ID="1"><Edge SPOT_SOURCE_ID="50" SPOT_TARGET_ID="51" LINK_COST="1.0" /></Track>
    </AllTracks>
    <FilteredTracks><TrackID TRACK_ID="0" /></FilteredTracks>
  </Model>
  <Settings>
    <ImageData filename="cells.tif" folder="/d/" width="100" height="100" nslices="1" nframes="2" pixelwidth="0.5"
               pixelheight="0.25" voxeldepth="1.0" timeinterval="30.0" />
  </Settings>
</TrackMate>
"""


def found() -> Tracks:
    labels = np.zeros((5, 40, 60), np.uint8)
    labels[:2, 5:15, 5:35], labels[2:, 5:15, 5:19], labels[2:, 5:15, 21:35] = 4, 5, 6
    labels[[0, 1, 3, 4], 25:33, 40:50] = 9
    return replace(track(labels), scale=(60.0, 0.5, 0.5), units=("second", "micrometer", "micrometer"), name="a & <b>")


def test_all_that_is_known_comes_back(tmp_path):
    tracks = found()
    write_tracks(tmp_path / "a.xml", tracks)
    back = read_tracks(tmp_path / "a.xml")
    assert back.problems == ()
    assert all(np.allclose(back.tracks.nodes[key], tracks.nodes[key]) for key in tracks.nodes)
    assert np.array_equal(back.tracks.edges, tracks.edges)
    assert np.array_equal(back.tracks.costs, tracks.costs)
    assert np.array_equal(back.tracks.margins, tracks.margins)
    assert (back.tracks.scale, back.tracks.units, back.tracks.name) == (tracks.scale, tracks.units, tracks.name)


def test_it_is_written_as_trackmate_expects(tmp_path):
    tracks = found()
    write_tracks(tmp_path / "a.xml", tracks)
    root = ET.parse(tmp_path / "a.xml").getroot()
    declared = {f.get("feature") for f in root.iter("Feature")}
    spots = list(root.iter("Spot"))
    assert int(root.find("Model/AllSpots").get("nspots")) == len(spots) == tracks.counts["objects"]
    assert all(set(spot.keys()) - {"ID", "name"} <= declared for spot in spots)
    # Positions are in units of the image, a spot's frame is that of its list, a gap is an edge.
    first = spots[0]
    assert float(first.get("POSITION_X")) == pytest.approx(0.5 * tracks.nodes["x"][0])
    assert all(s.get("FRAME") == f.get("frame") for f in root.iter("SpotsInFrame") for s in f)
    assert float(first.get("RADIUS")) == pytest.approx(0.5 * np.sqrt(tracks.nodes["area"][0] / np.pi))
    ids = {one.get("TRACK_ID") for one in root.iter("Track")}
    assert ids == {one.get("TRACK_ID") for one in root.iter("TrackID")}
    assert len(ids) == tracks.counts["lineages"] == 2
    assert root.find("Model").get("spatialunits") == "micron"


def test_a_file_of_trackmate_is_read_in_pixels(tmp_path):
    (tmp_path / "b.xml").write_text(FOREIGN)
    read = read_tracks(tmp_path / "b.xml")
    nodes = read.tracks.nodes
    assert (nodes["t"].tolist(), nodes["x"].tolist(), nodes["y"].tolist()) == ([0, 1, 1], [10, 8, 12], [40, 40, 42])
    assert read.tracks.edges.tolist() == [[0, 1], [0, 2]]
    assert read.tracks.costs.tolist() == [0.25, 1.5]
    assert read.tracks.counts["divisions"] == 1
    assert read.tracks.scale == (30.0, 0.25, 0.5)
    assert read.tracks.units == ("second", "micrometer", "micrometer")
    assert nodes["area"][0] == pytest.approx(np.pi * 2**2 / (0.25 * 0.5))
    said = "\n".join(read.problems)
    assert "3 spots are hidden" in said
    assert "1 edges lead to spots that are not there" in said


def test_movies_in_three_dimensions_and_movies_of_nothing(tmp_path):
    labels = np.zeros((3, 6, 20, 20), np.uint8)
    labels[:, 1:4, 5:12, 5:12] = 1
    first = np.concatenate([labels[:, 1:2], np.zeros_like(labels[:, :1])], axis=1)  # nothing but in the first plane
    for movie in (labels, first, np.zeros((2, 8, 8), np.uint8)):
        tracks = track(movie)
        write_tracks(tmp_path / "a.xml", tracks)
        back = read_tracks(tmp_path / "a.xml").tracks
        assert back.counts == tracks.counts
        if movie.ndim == 4:
            assert back.axes == "tzyx"
            assert np.allclose(back.nodes["z"], tracks.nodes["z"])


BOMB = '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;">]><TrackMate version="&c;"><Model /></TrackMate>'
SECRET = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><TrackMate><Model>&x;</Model></TrackMate>'


@pytest.mark.parametrize(
    ("text", "said"),
    [(BOMB, "document type"), (SECRET, "document type"), ("<TrackMate><Model", "Save it again"),
     ('<Tracks nTracks="3"><particle /></Tracks>', "'Save'"), (FOREIGN.replace('FRAME="0"', 'FRAME="x"').replace(
         'POSITION_T="0.0"', ""), "without a frame")],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path, text, said):
    (tmp_path / "bad.xml").write_text(text)
    with pytest.raises(ImageError, match=said):
        read_tracks(tmp_path / "bad.xml")
