package dev.edgekit.core

import org.junit.Assert.assertEquals
import org.junit.Test

class ShowingTest {
    private fun Showing.at(x: Int, y: Int) = point(x.toDouble(), y.toDouble()).let { (a, b) -> listOf(a, b) }

    private fun assertAt(x: Double, y: Double, found: List<Double>) {
        assertEquals(x, found[0], 1e-9)
        assertEquals(y, found[1], 1e-9)
    }

    @Test
    fun `a photo lies as a whole in the middle of its view`() {
        val wide = Showing(200, 100, 400, 600, covers = false)
        assertAt(0.0, 200.0, wide.at(0, 0))
        assertAt(400.0, 400.0, wide.at(200, 100))
        val tall = Showing(100, 200, 400, 600, covers = false)
        assertAt(50.0, 0.0, tall.at(0, 0))
        assertAt(350.0, 600.0, tall.at(100, 200))
    }

    @Test
    fun `a camera's picture fills its view, and what does not fit is cut off on both sides`() {
        val wide = Showing(200, 100, 400, 600, covers = true)
        assertAt(-400.0, 0.0, wide.at(0, 0))
        assertAt(800.0, 600.0, wide.at(200, 100))
        assertEquals(Area(80f, 60f, 320f, 300f), wide.seen(Area(80f, 10f, 120f, 50f)))
    }

    @Test
    fun `a front camera's picture is mirrored, from left to right alone`() {
        val front = Showing(200, 100, 400, 600, covers = true, mirrored = true)
        assertAt(800.0, 0.0, front.at(0, 0))
        assertAt(-400.0, 600.0, front.at(200, 100))
        assertEquals(Area(80f, 60f, 200f, 300f), front.seen(Area(100f, 10f, 120f, 50f)))
    }

    @Test
    fun `a turned picture stands on its side, and a mirror comes last`() {
        // the upper left corner of 200 x 100 pixels wanders clockwise round a view of the same proportions
        for ((turned, x, y) in listOf(Triple(0, 0.0, 0.0), Triple(90, 200.0, 0.0), Triple(180, 400.0, 200.0), Triple(270, 0.0, 400.0))) {
            val (wide, high) = if (turned % 180 == 0) Pair(400, 200) else Pair(200, 400)
            for (turns in listOf(turned, turned - 360)) {
                assertAt(x, y, Showing(200, 100, wide, high, covers = turns < 0, turned = turns).at(0, 0))
                assertAt(wide - x, y, Showing(200, 100, wide, high, covers = turns < 0, mirrored = true, turned = turns).at(0, 0))
            }
            assertAt(wide / 2.0, high / 2.0, Showing(200, 100, wide, high, covers = true, turned = turned).at(100, 50))
        }
    }

    @Test
    fun `of a box what the view shows is left, or nothing`() {
        val view = Showing(200, 100, 400, 600, covers = true)
        assertEquals(Area(0f, 0f, 400f, 600f), view.seen(Area(0f, 0f, 200f, 100f)))
        assertEquals(Area(0f, 60f, 80f, 120f), view.seen(Area(0f, 10f, 80f, 20f)))
        assertEquals(null, view.seen(Area(0f, 10f, 60f, 20f)))
        assertEquals(null, view.seen(Area(134f, 10f, 200f, 20f)))
        assertEquals(null, view.seen(Area(90f, 100f, 110f, 100f)))
    }

    @Test
    fun `a tag stands upon its box, and inside the view`() {
        assertEquals(Area(20f, 80f, 60f, 100f), Area(20f, 100f, 300f, 200f).tag(40f, 20f, 400f))
        assertEquals(Area(20f, 10f, 60f, 30f), Area(20f, 10f, 300f, 200f).tag(40f, 20f, 400f))
        assertEquals(Area(360f, 80f, 400f, 100f), Area(390f, 100f, 400f, 200f).tag(40f, 20f, 400f))
        assertEquals(Area(0f, 80f, 500f, 100f), Area(20f, 100f, 300f, 200f).tag(500f, 20f, 400f))
    }
}
